// Form fields: a label, a hint and what is wrong, tied to the control for screen readers.
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { useTexts } from '../i18n';
import { Icon } from './icon';

interface FieldProps {
  label: string;
  hint?: string;
  error?: string;
}

function Labelled({ label, hint, error, children }: FieldProps & { children: (props: { id: string; 'aria-describedby'?: string; 'aria-invalid'?: true }) => ComponentChildren }) {
  const id = useId();
  const described = [error && `${id}-error`, hint && `${id}-hint`].filter(Boolean).join(' ');
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({ id, 'aria-describedby': described || undefined, 'aria-invalid': error ? true : undefined })}
      {error && <p class="field-error" id={`${id}-error`}>{error}</p>}
      {hint && <p class="hint" id={`${id}-hint`}>{hint}</p>}
    </div>
  );
}

export interface TextFieldProps extends FieldProps {
  value: string;
  onInput: (value: string) => void;
  placeholder?: string;
  required?: boolean;
  type?: 'text' | 'password';
  name?: string;
  autocomplete?: string;
  mono?: boolean;
  autofocus?: boolean;
}

export function TextField({ value, onInput, placeholder, required, type = 'text', name, autocomplete = 'off', mono, autofocus, ...field }: TextFieldProps) {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => {
    if (autofocus) input.current?.focus();
  }, []);
  return (
    <Labelled {...field}>
      {(props) => {
        const all = {
          ...props,
          ref: input,
          class: mono ? 'mono' : undefined,
          name,
          value,
          placeholder,
          required,
          autocomplete,
          autocapitalize: 'none',
          spellcheck: false,
          autofocus, // for dialogs, which give the focus when they open
          onInput: (event: { currentTarget: HTMLInputElement }) => onInput(event.currentTarget.value),
        } as const;
        return type === 'password' ? <input {...all} type="password" /> : <input {...all} type="text" dir="auto" />;
      }}
    </Labelled>
  );
}

export function TextArea({ value, onInput, rows = 4, ...field }: FieldProps & { value: string; onInput: (value: string) => void; rows?: number }) {
  return (
    <Labelled {...field}>
      {(props) => <textarea {...props} class="mono" rows={rows} value={value} spellcheck={false} autocomplete="off" onInput={(event) => onInput(event.currentTarget.value)} />}
    </Labelled>
  );
}

export interface Option<Value extends string> {
  value: Value;
  label: string;
}

export function Select<Value extends string>({ value, options, onChange, ...field }: FieldProps & { value: Value; options: readonly Option<Value>[]; onChange: (value: Value) => void }) {
  return (
    <Labelled {...field}>
      {(props) => (
        <div class="select">
          <select {...props} value={value} onChange={(event) => onChange(event.currentTarget.value as Value)}>
            {options.map((option) => <option key={option.value} value={option.value}>{option.label}</option>)}
          </select>
          <Icon name="down" />
        </div>
      )}
    </Labelled>
  );
}

export function Checkbox({ label, checked, onChange, hint }: { label: string; checked: boolean; onChange: (checked: boolean) => void; hint?: string }) {
  const id = useId();
  return (
    <div class="check">
      <input id={id} type="checkbox" checked={checked} aria-describedby={hint ? `${id}-hint` : undefined} onChange={(event) => onChange(event.currentTarget.checked)} />
      <label for={id}>{label}</label>
      {hint && <p class="hint" id={`${id}-hint`}>{hint}</p>}
    </div>
  );
}

/** Chooses one of a few, all of them in view. */
export function Segmented<Value extends string>({ label, value, options, onChange }: { label: string; value: Value; options: readonly Option<Value>[]; onChange: (value: Value) => void }) {
  const name = useId();
  return (
    <fieldset class="segmented">
      <legend class="unseen">{label}</legend>
      {options.map((option) => (
        <label key={option.value}>
          <input type="radio" name={name} value={option.value} checked={option.value === value} onChange={() => onChange(option.value)} />
          <span>{option.label}</span>
        </label>
      ))}
    </fieldset>
  );
}

const TYPING = 250; // ms after the last key until the search begins

/** A search field: "/" goes to it from anywhere on the page, Escape empties it. */
export function Search({ label, value, onSearch, placeholder }: { label: string; value: string; onSearch: (value: string) => void; placeholder?: string }) {
  const t = useTexts();
  const [typed, setTyped] = useState(value);
  const input = useRef<HTMLInputElement>(null);
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);

  useEffect(() => setTyped(value), [value]);
  useEffect(() => {
    const toField = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && event.target.closest('input, textarea, select, dialog');
      if (event.key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      input.current?.focus();
    };
    document.addEventListener('keydown', toField);
    return () => {
      document.removeEventListener('keydown', toField);
      clearTimeout(timer.current);
    };
  }, []);

  function change(text: string, delay: number) {
    setTyped(text);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onSearch(text), delay);
  }
  return (
    <div class="search" role="search">
      <Icon name="search" />
      <input
        ref={input}
        type="search"
        aria-label={label}
        placeholder={placeholder ?? label}
        value={typed}
        maxLength={255}
        autocomplete="off"
        autocapitalize="none"
        spellcheck={false}
        dir="auto"
        onInput={(event) => change(event.currentTarget.value, TYPING)}
        onKeyDown={(event) => {
          if (event.key === 'Enter') change(typed, 0);
          if (event.key === 'Escape' && typed) {
            event.preventDefault();
            change('', 0);
          }
        }}
      />
      <kbd aria-hidden="true" title={t.common.searchKey}>/</kbd>
    </div>
  );
}
