// Whether anybody can see the page. Hidden tabs ask the broker for nothing.
import { createStore, useStore } from '../store';

const visible = createStore(!document.hidden);
document.addEventListener('visibilitychange', () => visible.set(!document.hidden));

export const useVisible = () => useStore(visible);
