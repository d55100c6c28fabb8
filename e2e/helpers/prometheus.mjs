// A test's own Prometheus, which scrapes brokers every second.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Child, ROOT } from './process.mjs';

export class Prometheus {
  // start starts a Prometheus that scrapes targets and evaluates the rules of deploy/ every second.
  static async start(targets, args = []) {
    const server = new Prometheus();
    server.dir = mkdtempSync(path.join(tmpdir(), 'sala-prometheus-'));
    const config = path.join(server.dir, 'prometheus.yaml');
    writeFileSync(config, JSON.stringify({
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: [path.join(ROOT, 'deploy/prometheus/rules.yaml')],
      scrape_configs: [{ job_name: 'sala', honor_labels: true, static_configs: [{ targets }] }],
    }));
    server.child = new Child('prometheus', [`--config.file=${config}`, `--storage.tsdb.path=${server.dir}/data`,
      '--web.listen-address=127.0.0.1:0', ...args]);
    const [, address] = await server.child.see((child) => child.stderr.match(/msg="Listening on" address=([\d.:]+)/), 'the listener');
    server.url = `http://${address}`;
    await server.child.see((child) => child.stderr.includes('Server is ready'), 'the end of the start', 60_000);
    return server;
  }

  // get returns the data of a call of the HTTP API.
  async get(pathname, query = {}) {
    const response = await fetch(`${this.url}/api/v1/${pathname}?${new URLSearchParams(query)}`);
    const answer = await response.json();
    assert.equal(answer.status, 'success', `${pathname} ${JSON.stringify(query)}: ${answer.error}`);
    return answer.data;
  }

  // query returns the series that an expression has now.
  async query(expr) {
    return (await this.get('query', { query: expr })).result;
  }

  // range returns those that it had within the last minute.
  async range(expr) {
    const end = Date.now() / 1000;
    return (await this.get('query_range', { query: expr, start: end - 60, end, step: 5 })).result;
  }

  async stop() {
    await this.child.end('SIGTERM', 60_000);
    rmSync(this.dir, { recursive: true, force: true });
  }
}
