// The frame of every page: its heading, and cards.
import type { ComponentChildren } from 'preact';
import { useEffect, useId } from 'preact/hooks';
import { Icon } from './icon';

export interface PageProps {
  /** The heading; also the title of the window, as text. */
  title: string;
  heading?: ComponentChildren;
  intro?: ComponentChildren;
  actions?: ComponentChildren;
  back?: { href: string; label: string };
  children: ComponentChildren;
}

export function Page({ title, heading, intro, actions, back, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} · Sala`;
  }, [title]);
  return (
    <>
      <header class="page-head">
        <div class="page-title">
          {back && <a class="back" href={back.href}><Icon name="back" />{back.label}</a>}
          <h1 tabIndex={-1}>{heading ?? title}</h1>
          {intro && <p class="intro">{intro}</p>}
        </div>
        {actions && <div class="actions">{actions}</div>}
      </header>
      {children}
    </>
  );
}

/** A part of a page with a heading of its own. */
export function Card({ title, note, actions, children, flush = false }: { title?: string; note?: ComponentChildren; actions?: ComponentChildren; children: ComponentChildren; flush?: boolean }) {
  const heading = useId();
  return (
    <section class={flush ? 'card flush' : 'card'} aria-labelledby={title ? heading : undefined}>
      {title && (
        <div class="card-head">
          <h2 id={heading}>{title}</h2>
          {note && <p class="quiet">{note}</p>}
          {actions && <div class="actions">{actions}</div>}
        </div>
      )}
      {children}
    </section>
  );
}

/** Names and values. */
export function Facts({ items }: { items: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {items.map(([name, value]) => <div><dt>{name}</dt><dd>{value}</dd></div>)}
    </dl>
  );
}
