// Every page, in the order of the navigation. A new page is a file in pages/ and an entry here.
import type { ComponentType } from 'preact';
import type { Texts } from './i18n';
import { Backends } from './pages/backends';
import { Explain } from './pages/explain';
import { Limits } from './pages/limits';
import { Guide } from './pages/guide';
import { Overview } from './pages/overview';
import { RoomPage } from './pages/room';
import { Rooms } from './pages/rooms';
import { Send } from './pages/send';
import { SocketPage } from './pages/socket';
import { Sockets } from './pages/sockets';
import { Tail } from './pages/tail';
import { Tokens } from './pages/tokens';
import { TryIt } from './pages/try';
import { Users } from './pages/users';
import type { Scope } from './session';
import type { IconName } from './ui/icon';

/** What a page is given: the parts of its address that its pattern names. */
export interface PageParams {
  params: Record<string, string>;
}

export interface PageEntry {
  /** The pattern of its address, such as rooms/:namespace/:room. */
  path: string;
  component: ComponentType<PageParams>;
  /** The scope that it can't do without; of several, one is enough. Without it, the navigation shows it as locked. */
  scope?: Scope | readonly Scope[];
  /** Whether it exists only with --dev. */
  dev?: boolean;
  /** Its place in the navigation, unless it is reached from another page. */
  nav?: { group: NavGroup; icon: IconName; label: (t: Texts) => string };
}

export type NavGroup = 'start' | 'watch' | 'act' | 'diagnose';

export const NAV_GROUPS: readonly NavGroup[] = ['start', 'watch', 'act', 'diagnose'];

export const PAGES: readonly PageEntry[] = [
  { path: 'guide', component: Guide, dev: true, nav: { group: 'start', icon: 'guide', label: (t) => t.guide.title } },
  { path: 'try', component: TryIt, dev: true, nav: { group: 'start', icon: 'tryit', label: (t) => t.tryIt.title } },
  { path: '', component: Overview, scope: 'cluster:read', nav: { group: 'watch', icon: 'overview', label: (t) => t.overview.title } },
  { path: 'rooms', component: Rooms, scope: 'rooms:read', nav: { group: 'watch', icon: 'rooms', label: (t) => t.rooms.title } },
  { path: 'rooms/:namespace/:room', component: RoomPage, scope: 'rooms:read' },
  { path: 'sockets', component: Sockets, scope: 'sockets:read', nav: { group: 'watch', icon: 'sockets', label: (t) => t.sockets.title } },
  { path: 'sockets/:id', component: SocketPage, scope: 'sockets:read' },
  { path: 'users', component: Users, scope: 'presence:read', nav: { group: 'watch', icon: 'users', label: (t) => t.users.title } },
  { path: 'backends', component: Backends, scope: 'cluster:read', nav: { group: 'watch', icon: 'backends', label: (t) => t.backends.title } },
  { path: 'limits', component: Limits, scope: 'sockets:read', nav: { group: 'watch', icon: 'limits', label: (t) => t.limits.title } },
  { path: 'send', component: Send, scope: ['emit', 'broadcast'], nav: { group: 'act', icon: 'send', label: (t) => t.send.title } },
  { path: 'tokens', component: Tokens, scope: 'tokens:issue', nav: { group: 'act', icon: 'tokens', label: (t) => t.tokens.title } },
  { path: 'tail', component: Tail, scope: 'events', nav: { group: 'diagnose', icon: 'tail', label: (t) => t.tail.title } },
  { path: 'explain', component: Explain, scope: 'sockets:read', nav: { group: 'diagnose', icon: 'explain', label: (t) => t.explain.title } },
];
