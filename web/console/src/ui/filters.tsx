// What narrows a list down, beside its search field.
import { useTexts } from '../i18n';
import { setQuery } from '../router';
import { Icon } from './icon';
import { TextField } from './form';
import { Name } from './text';

/** Chooses a namespace by name. What it means when it's empty, the placeholder says. */
export function NamespaceField({ value, placeholder }: { value: string; placeholder: string }) {
  const t = useTexts();
  return <TextField label={t.common.namespace} value={value} placeholder={placeholder} onInput={(namespace) => setQuery({ namespace })} />;
}

/** Filters that came with the address, each with a button that removes it. */
export function Filters({ active }: { active: readonly { name: string; label: string; value: string }[] }) {
  const t = useTexts();
  const set = active.filter(({ value }) => value !== '');
  if (set.length === 0) return null;
  return (
    <ul class="chips" aria-label={t.common.filters}>
      {set.map(({ name, label, value }) => (
        <li key={name} class="chip">
          <span class="quiet">{label}</span> <Name value={value} />
          <button type="button" class="button quiet bare small" aria-label={t.common.removeFilter(label)} onClick={() => setQuery({ [name]: '' })}><Icon name="close" /></button>
        </li>
      ))}
    </ul>
  );
}
