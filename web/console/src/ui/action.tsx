// Things to do: asked for in a dialog, done, and reported there, with the same as commands.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { type Call, type Partial as PartialAnswer, send } from '../api/call';
import { type ApiError, asApiError } from '../api/error';
import { useTexts } from '../i18n';
import { Button } from './button';
import { Dialog } from './dialog';
import { Icon } from './icon';
import { Same } from './same';
import { PartialNote, Problem } from './state';
import { Rich } from './text';

export interface ActionProps<Answer> {
  title: string;
  /** What will happen. */
  text: string;
  /** The label of the button that does it. */
  confirm: string;
  danger?: boolean;
  /** The call, or why it can't be made with what the fields hold. */
  call: Call<Answer> | { invalid: string };
  /** What has happened. */
  result: (answer: Answer) => string;
  /** Fields that the call depends on. */
  children?: ComponentChildren;
  onClose: () => void;
  onDone?: (answer: Answer) => void;
}

/** A dialog that explains an action, does it once it is confirmed, and shows its result. */
export function ActionDialog<Answer>({ title, text, confirm, danger = false, call, result, children, onClose, onDone }: ActionProps<Answer>) {
  const t = useTexts();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError>();
  const [answer, setAnswer] = useState<Answer>();
  const ready = 'path' in call;

  async function run() {
    if (!ready || busy) return;
    setBusy(true);
    setError(undefined);
    try {
      const done = await send(call);
      setAnswer(done);
      onDone?.(done);
    } catch (thrown) {
      setError(asApiError(thrown));
    } finally {
      setBusy(false);
    }
  }

  return (
    <Dialog title={title} onClose={onClose}>
      <form
        class="form"
        onSubmit={(event) => {
          event.preventDefault();
          void run();
        }}
      >
        {answer === undefined && <p><Rich text={text} /></p>}
        {answer === undefined && children}
        <div role="status" class="result-slot">
          {answer !== undefined && <div class="note good"><Icon name="check" /><p class="strong">{result(answer)}</p></div>}
        </div>
        {answer !== undefined && <PartialNote answer={answer as PartialAnswer} />}
        {error && <Problem error={error} />}
        {ready ? <Same call={call} /> : <p class="hint">{call.invalid}</p>}
        <div class="dialog-actions">
          <Button onClick={onClose}>{answer === undefined ? t.common.cancel : t.common.close}</Button>
          {answer === undefined && <Button submit kind={danger ? 'danger' : 'primary'} disabled={!ready || busy}>{busy ? t.common.working : confirm}</Button>}
        </div>
      </form>
    </Dialog>
  );
}
