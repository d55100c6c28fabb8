// Buttons, links that look like buttons, and copying.
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { useTexts } from '../i18n';
import { Icon, type IconName } from './icon';
import { announce } from './toast';

type Kind = 'primary' | 'plain' | 'quiet' | 'danger';

export interface ButtonProps {
  children: ComponentChildren;
  kind?: Kind;
  icon?: IconName;
  onClick?: () => void;
  /** Why the button can't be used now. It stays reachable, so that the reason can be read. */
  denied?: string;
  disabled?: boolean;
  submit?: boolean;
  label?: string;
}

export function Button({ children, kind = 'plain', icon, onClick, denied = '', disabled = false, submit = false, label }: ButtonProps) {
  return (
    <button
      type={submit ? 'submit' : 'button'}
      class={`button ${kind}`}
      disabled={disabled}
      aria-disabled={denied ? true : undefined}
      aria-label={label}
      title={denied || undefined}
      onClick={(event) => {
        if (denied) {
          event.preventDefault();
          announce(denied);
        } else onClick?.();
      }}
    >
      {icon && <Icon name={icon} />}
      <span>{children}</span>
    </button>
  );
}

export function ButtonLink({ href, children, kind = 'plain', icon }: { href: string; children: ComponentChildren; kind?: Kind; icon?: IconName }) {
  return <a class={`button ${kind}`} href={href}>{icon && <Icon name={icon} />}<span>{children}</span></a>;
}

export function CopyButton({ text, label }: { text: string; label?: string }) {
  const t = useTexts();
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return undefined;
    const timer = setTimeout(() => setDone(false), 1500);
    return () => clearTimeout(timer);
  }, [done]);
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      setDone(true);
      announce(t.common.copied, { silent: true });
    } catch {
      announce(t.common.copyFailed); // only pages over HTTPS or on localhost may use the clipboard
    }
  }
  return (
    <button type="button" class="button quiet small" onClick={() => void copy()} aria-label={label && `${t.common.copy}: ${label}`}>
      <Icon name={done ? 'check' : 'copy'} /><span>{done ? t.common.copied : t.common.copy}</span>
    </button>
  );
}
