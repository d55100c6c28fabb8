// Short messages that appear and go, and that screen readers say.
import { useEffect } from 'preact/hooks';
import { useTexts } from '../i18n';
import { createStore, useStore } from '../store';
import { Icon } from './icon';

interface Message {
  id: number;
  text: string;
  /** Only for screen readers: what is on the screen already shows it. */
  silent: boolean;
}

const messages = createStore<readonly Message[]>([]);
const MOST = 3;
const SHOWN_FOR = 6000;
let nextID = 0;

export function announce(text: string, { silent = false } = {}): void {
  messages.set([...messages.get().filter((message) => message.text !== text), { id: nextID++, text, silent }].slice(-MOST));
}

const remove = (id: number) => messages.set(messages.get().filter((message) => message.id !== id));

/** Where messages appear. It is on the page from the start, so that screen readers watch it. */
export function Toasts() {
  const shown = useStore(messages);
  return (
    <div class="toasts" role="status" aria-live="polite">
      {shown.map((message) => <Toast key={message.id} message={message} />)}
    </div>
  );
}

function Toast({ message }: { message: Message }) {
  const t = useTexts();
  useEffect(() => {
    const timer = setTimeout(() => remove(message.id), SHOWN_FOR);
    return () => clearTimeout(timer);
  }, [message.id]);
  if (message.silent) return <p class="unseen">{message.text}</p>;
  return (
    <div class="toast">
      <p>{message.text}</p>
      <button type="button" class="button quiet small bare" aria-label={t.common.dismiss} onClick={() => remove(message.id)}><Icon name="close" /></button>
    </div>
  );
}
