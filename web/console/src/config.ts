// What the broker says about itself to anybody who opens the page.
import { createStore, useStore } from './store';

export interface Config {
  version: string;
  /** Whether the broker runs with --dev. */
  dev: boolean;
  /** Where Socket.IO clients connect, and the path there. With --dev only. */
  publicUrl?: string;
  path?: string;
}

const UNKNOWN: Config = { version: '', dev: false };
const config = createStore<Config>(UNKNOWN);
const newerVersion = createStore('');
const dismissed = new Set<string>();

export const isDev = (): boolean => config.get().dev;
export const useConfig = () => useStore(config);

/** The version of the broker that answers now, if the page came from another. */
export const useNewerVersion = () => useStore(newerVersion);

/** Says no more about the version that answers now. */
export function dismissNewerVersion(): void {
  dismissed.add(newerVersion.get());
  newerVersion.set('');
}

/** Notes which version has answered. Behind a load balancer it may be another one for each call. */
function noteVersion(now: string): void {
  if (config.get().version && now !== config.get().version && !dismissed.has(now)) newerVersion.set(now);
}

/** Reads the version from the header of an answer: "sala/1.2.3". */
export function noteServer(header: string | null): void {
  const [name, version] = header?.split('/', 2) ?? [];
  if (name === 'sala' && version) noteVersion(version);
}

async function fetchConfig(): Promise<Config> {
  const response = await fetch('config.json', { cache: 'no-store', credentials: 'omit' });
  if (!response.ok) throw new Error(`status ${response.status}`);
  return (await response.json()) as Config;
}

export async function loadConfig(): Promise<void> {
  config.set(await fetchConfig().catch(() => UNKNOWN));
}

/** Compares the version of the broker that answers now with that of the page. */
export async function checkVersion(): Promise<void> {
  const now = await fetchConfig().catch(() => undefined);
  if (!now) return; // the calls say that the broker doesn't answer
  if (!config.get().version) config.set(now);
  else noteVersion(now.version);
}
