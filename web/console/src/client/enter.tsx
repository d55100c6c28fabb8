// Connecting as a user: a token is issued, and the client connects with it.
import { useState } from 'preact/hooks';
import { send } from '../api/call';
import { type ApiError, asApiError } from '../api/error';
import { issueToken, type NewToken } from '../api/tokens';
import { useConfig } from '../config';
import { useTexts } from '../i18n';
import { Icon } from '../ui/icon';
import { connect, type Connection } from './connection';

/** A token that lets its user try everything: join all rooms, and send to them and to everyone. */
export const tokenFor = (user: string): NewToken => ({ user, ttl: '3600s', join: ['**'], publish: ['**'], broadcast: true });

/** Returns a function that issues a token and connects with it, and what went wrong. */
export function useEnter() {
  const { publicUrl = '', path = '/socket.io/' } = useConfig();
  const [error, setError] = useState<ApiError>();
  async function enter(user: string, namespace: string, issued?: string): Promise<void> {
    setError(undefined);
    try {
      const token = issued ?? (await send(issueToken(tokenFor(user)))).token;
      connect({ origin: publicUrl, path, namespace, user, token });
    } catch (thrown) {
      setError(asApiError(thrown));
    }
  }
  return { enter, error };
}

/** Why the client isn't connected any more, if the visitor didn't end it. */
export function Ended({ connection }: { connection: Connection }) {
  const t = useTexts();
  const { ended } = connection;
  if (!ended || connection.state !== 'off' || ('reason' in ended && ended.reason === 'self')) return null;
  const text = 'refused' in ended ? t.tryIt.refused(ended.refused) : `${t.tryIt.endings[ended.reason]} ${ended.said}`;
  return <div class="note bad" role="alert"><Icon name="alert" /><p>{text}</p></div>;
}
