// The choices about the page itself: theme and language.
import { LANGUAGES, setLanguage, useLanguage, useTexts } from '../i18n';
import { type Theme, setTheme, useTheme } from '../preferences';
import { Segmented } from './form';

export function ThemeChoice() {
  const t = useTexts();
  const theme = useTheme();
  const options: { value: Theme; label: string }[] = [
    { value: 'auto', label: t.theme.auto },
    { value: 'light', label: t.theme.light },
    { value: 'dark', label: t.theme.dark },
  ];
  return <Segmented label={t.theme.title} value={theme} options={options} onChange={setTheme} />;
}

export function LanguageChoice() {
  const t = useTexts();
  const language = useLanguage();
  return <Segmented label={t.language} value={language} options={LANGUAGES.map(({ id, name }) => ({ value: id, label: name }))} onChange={setLanguage} />;
}
