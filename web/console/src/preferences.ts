// What a visitor chose about the page itself. Nothing else is ever stored.
import { createStore, useStore } from './store';

export type Theme = 'auto' | 'light' | 'dark';

const THEME = 'sala.theme';

function read(name: string): string {
  try {
    return localStorage.getItem(name) ?? '';
  } catch {
    return ''; // storage is turned off
  }
}

export function remember(name: string, value: string): void {
  try {
    localStorage.setItem(name, value);
  } catch {
    // The choice lasts until the page is closed.
  }
}

export const recall = read;

const stored = read(THEME);
const theme = createStore<Theme>(stored === 'light' || stored === 'dark' ? stored : 'auto');

export const useTheme = () => useStore(theme);

export function setTheme(next: Theme): void {
  theme.set(next);
  remember(THEME, next);
  showTheme();
}

const systemDark = window.matchMedia('(prefers-color-scheme: dark)');
const dark = createStore(systemDark.matches);

/** Whether the page is dark now. What draws with colours of its own follows it. */
export const useDark = () => useStore(dark);

export function showTheme(): void {
  const chosen = theme.get();
  const isDark = chosen === 'auto' ? systemDark.matches : chosen === 'dark';
  document.documentElement.dataset.theme = isDark ? 'dark' : 'light';
  dark.set(isDark);
}

systemDark.addEventListener('change', showTheme);
