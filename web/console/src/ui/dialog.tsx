// Dialogs. The browser's own keep the focus inside, close with Escape, and give the focus back.
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { useTexts } from '../i18n';
import { Icon } from './icon';

export interface DialogProps {
  title: string;
  children: ComponentChildren;
  /** Called when the visitor closes the dialog. Without it, the dialog stays until it is removed. */
  onClose?: () => void;
  /** At the side instead of in the middle. */
  drawer?: boolean;
}

/** Shows a modal dialog for as long as it is on the page. */
export function Dialog({ title, children, onClose, drawer = false }: DialogProps) {
  const t = useTexts();
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const element = dialog.current;
    const before = document.activeElement;
    element?.showModal();
    return () => {
      element?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={drawer ? 'dialog drawer' : 'dialog'}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        onClose?.();
      }}
      onMouseDown={(event) => {
        if (event.target === dialog.current) onClose?.(); // beside the dialog's contents
      }}
    >
      <div class="dialog-body">
        <header>
          <h2 id={heading}>{title}</h2>
          {onClose && <button type="button" class="button quiet bare" aria-label={t.common.close} onClick={onClose}><Icon name="close" /></button>}
        </header>
        {children}
      </div>
    </dialog>
  );
}
