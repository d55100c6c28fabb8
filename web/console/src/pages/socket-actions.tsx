// Dialogs for what can be done with sockets.
import { useState } from 'preact/hooks';
import type { Call } from '../api/call';
import { joinRooms, leaveRooms, type Selector } from '../api/calls';
import { revokeTokens } from '../api/tokens';
import type { Matched } from '../api/types';
import { number } from '../format';
import { useTexts } from '../i18n';
import { ActionDialog } from '../ui/action';
import { TextField } from '../ui/form';

interface Common {
  onClose: () => void;
  onDone?: () => void;
}

export function DisconnectDialog({ title, text, call, onClose, onDone }: Common & { title: string; text: string; call: (reason: string) => Call<Matched> }) {
  const t = useTexts();
  const [reason, setReason] = useState('');
  return (
    <ActionDialog
      title={title}
      text={text}
      confirm={t.sockets.disconnect}
      danger
      call={call(reason)}
      result={({ matched }) => t.sockets.disconnected(matched, number(matched))}
      onDone={onDone}
      onClose={onClose}
    >
      <TextField label={t.sockets.reason} hint={t.sockets.reasonHint} value={reason} onInput={setReason} />
    </ActionDialog>
  );
}

export function RevokeDialog({ user, onClose, onDone }: Common & { user: string }) {
  const t = useTexts();
  return (
    <ActionDialog
      title={t.sockets.revokeTitle(user)}
      text={t.sockets.revokeText}
      confirm={t.sockets.revoke}
      danger
      call={revokeTokens({ user })}
      result={({ disconnected, notStored }) => `${t.sockets.revoked(disconnected, number(disconnected))} ${notStored ? t.sockets.notStored : ''}`}
      onDone={onDone}
      onClose={onClose}
    />
  );
}

export function JoinDialog({ selector, onClose, onDone }: Common & { selector: Selector }) {
  const t = useTexts();
  const [room, setRoom] = useState('');
  return (
    <ActionDialog
      title={t.sockets.joinTitle}
      text={t.sockets.joinText}
      confirm={t.sockets.join}
      call={room ? joinRooms(selector, [room]) : { invalid: t.sockets.joinMissing }}
      result={({ matched, refused }) => (refused ? t.sockets.joinRefused : t.sockets.joined(matched))}
      onDone={onDone}
      onClose={onClose}
    >
      <TextField label={t.rooms.room} value={room} onInput={setRoom} required autofocus />
    </ActionDialog>
  );
}

export function LeaveDialog({ selector, room, onClose, onDone }: Common & { selector: Selector; room: string }) {
  const t = useTexts();
  return (
    <ActionDialog
      title={t.sockets.leaveTitle(room)}
      text={t.sockets.leaveText}
      confirm={t.sockets.leave}
      danger
      call={leaveRooms(selector, [room])}
      result={({ matched }) => t.sockets.left(matched)}
      onDone={onDone}
      onClose={onClose}
    />
  );
}
