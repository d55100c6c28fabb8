// Every page, in the order of the navigation. A new page is a file in pages/ and an entry here.
import type { ComponentType } from 'preact';
import type { Texts } from './i18n';
import { Overview } from './pages/overview';
import { RoomPage } from './pages/room';
import { Rooms } from './pages/rooms';
import { SocketPage } from './pages/socket';
import { Sockets } from './pages/sockets';
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
  /** The scope that it can't do without. Without it, the navigation shows it as locked. */
  scope?: Scope;
  /** Whether it exists only with --dev. */
  dev?: boolean;
  /** Its place in the navigation, unless it is reached from another page. */
  nav?: { group: NavGroup; icon: IconName; label: (t: Texts) => string };
}

export type NavGroup = 'start' | 'watch' | 'act' | 'diagnose';

export const NAV_GROUPS: readonly NavGroup[] = ['start', 'watch', 'act', 'diagnose'];

export const PAGES: readonly PageEntry[] = [
  { path: '', component: Overview, scope: 'cluster:read', nav: { group: 'watch', icon: 'overview', label: (t) => t.overview.title } },
  { path: 'rooms', component: Rooms, scope: 'rooms:read', nav: { group: 'watch', icon: 'rooms', label: (t) => t.rooms.title } },
  { path: 'rooms/:namespace/:room', component: RoomPage, scope: 'rooms:read' },
  { path: 'sockets', component: Sockets, scope: 'sockets:read', nav: { group: 'watch', icon: 'sockets', label: (t) => t.sockets.title } },
  { path: 'sockets/:id', component: SocketPage, scope: 'sockets:read' },
  { path: 'users', component: Users, scope: 'presence:read', nav: { group: 'watch', icon: 'users', label: (t) => t.users.title } },
];
