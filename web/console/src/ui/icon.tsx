// Icons: strokes on a grid of 20. They say nothing that isn't in a text beside them.
const PATHS = {
  overview: 'M3 10.5 10 4l7 6.5M5 9v7h10V9',
  rooms: 'M3.5 3.5h5v5h-5zM11.5 3.5h5v5h-5zM3.5 11.5h5v5h-5zM11.5 11.5h5v5h-5z',
  sockets: 'M7 3v4M13 3v4M5 7h10v3a5 5 0 0 1-10 0zM10 15v2.5',
  users: 'M8 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM2.5 16.5c0-3 2.4-4.8 5.5-4.8s5.5 1.8 5.5 4.8M13 3.8a3 3 0 0 1 0 5.5M15 12c1.6.7 2.5 2.3 2.5 4.5',
  tail: 'M3 10h3l2-5.5 4 11 2-5.5h3',
  send: 'M17 3 9 11M17 3l-5 14-3-6-6-3z',
  tokens: 'M12.5 3.5a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM9.7 10.3 3.5 16.5M6 14l2 2',
  backends: 'M3.5 4h13v4.5h-13zM3.5 11.5h13V16h-13zM6.5 6.3h.01M6.5 13.8h.01',
  limits: 'M3 14a7 7 0 1 1 14 0M10 14l3.5-4.5',
  explain: 'M10 17.5a7.5 7.5 0 1 0 0-15 7.5 7.5 0 0 0 0 15zM7.8 7.8a2.3 2.3 0 1 1 3.2 2.1c-.7.3-1 .8-1 1.6M10 14h.01',
  guide: 'M4 3.5h9.5a2 2 0 0 1 2 2v11H6a2 2 0 0 1-2-2zM4 14.5a2 2 0 0 1 2-2h9.5',
  tryit: 'M7 4.5v11l8.5-5.5z',
  menu: 'M3 5.5h14M3 10h14M3 14.5h14',
  close: 'm5 5 10 10M15 5 5 15',
  search: 'M9 15A6 6 0 1 0 9 3a6 6 0 0 0 0 12zM13.5 13.5 17 17',
  alert: 'M10 3 2 16.5h16zM10 8.5v3.5M10 14.3h.01',
  out: 'M8 3.5H4v13h4M12.5 6.5 16 10l-3.5 3.5M16 10H8',
  back: 'M12 4.5 6.5 10l5.5 5.5',
  down: 'm5 7.5 5 5 5-5',
  next: 'M8 4.5 13.5 10 8 15.5',
  check: 'm4 10.5 4 4 8-9',
  copy: 'M7 7h9.5v9.5H7zM13 7V3.5H3.5V13H7',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}
