// The page's language. A text that es.ts lacks fails `npm run check`.
import { recall, remember } from '../preferences';
import { createStore, useStore } from '../store';
import { en } from './en';
import { es } from './es';

export type Language = 'en' | 'es';

type Shape<T> = {
  [K in keyof T]: T[K] extends string ? string : T[K] extends (...args: infer A) => string ? (...args: A) => string : Shape<T[K]>;
};

/** All texts of the page. Some are functions of a number or a name. */
export type Texts = Shape<typeof en>;

const TEXTS: Record<Language, Texts> = { en, es };
const LANGUAGE = 'sala.language';

export const LANGUAGES: readonly { id: Language; name: string }[] = [
  { id: 'en', name: 'English' },
  { id: 'es', name: 'Español' },
];

function initial(): Language {
  for (const tag of [recall(LANGUAGE), ...navigator.languages]) {
    const language = tag.split('-')[0];
    if (language === 'en' || language === 'es') return language;
  }
  return 'en';
}

const language = createStore<Language>(initial());

export const useLanguage = () => useStore(language);
export const useTexts = (): Texts => TEXTS[useStore(language)];

/** Returns the texts for what isn't a component. */
export const texts = (): Texts => TEXTS[language.get()];

/** Returns the locale for numbers and times: the visitor's own variant of the language, if any. */
export function locale(): string {
  const chosen = language.get();
  return navigator.languages.find((tag) => tag.split('-')[0] === chosen) ?? chosen;
}

export function setLanguage(next: Language): void {
  language.set(next);
  remember(LANGUAGE, next);
  showLanguage();
}

export function showLanguage(): void {
  document.documentElement.lang = language.get();
}
