/** A piece of work. It must not reject. @internal */
export type Task = () => Promise<void>;

/**
 * Runs tasks: those of one lane one after another in the order in which they came, those of different
 * lanes at the same time, up to a limit. Lanes take turns, so none waits until another is empty.
 * @internal
 */
export class Lanes {
  readonly #concurrency: number;
  /** The waiting tasks of each lane. A lane is here as long as it has a waiting or a running task. */
  readonly #waiting = new Map<string, Task[]>();
  /** The lanes that have a waiting and no running task, in the order of their turns. */
  readonly #ready: string[] = [];
  #running = 0;
  #pending = 0;
  #idle: (() => void)[] = [];

  constructor(concurrency: number) {
    this.#concurrency = concurrency;
  }

  /** How many tasks haven't finished. */
  get pending(): number {
    return this.#pending;
  }

  /** Adds a task to a lane. */
  push(lane: string, task: Task): void {
    this.#pending++;
    const waiting = this.#waiting.get(lane);
    if (waiting) {
      waiting.push(task);
      return;
    }
    this.#waiting.set(lane, [task]);
    this.#ready.push(lane);
    this.#startNext();
  }

  /** Waits until no task is left. */
  async idle(): Promise<void> {
    if (this.#pending > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #startNext(): void {
    while (this.#running < this.#concurrency) {
      const lane = this.#ready.shift();
      if (lane === undefined) return;
      this.#running++;
      void this.#run(lane);
    }
  }

  async #run(lane: string): Promise<void> {
    const waiting = this.#waiting.get(lane) as Task[];
    await (waiting.shift() as Task)();
    this.#running--;
    this.#pending--;
    if (waiting.length > 0) this.#ready.push(lane);
    else this.#waiting.delete(lane);
    this.#startNext();
    if (this.#pending > 0) return;
    for (const resolve of this.#idle.splice(0)) resolve();
  }
}
