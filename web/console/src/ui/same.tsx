// "The same with curl, grpcurl or the CLI": the commands that do what the page does.
import { useState } from 'preact/hooks';
import { type Call, urlOf } from '../api/call';
import { useTexts } from '../i18n';
import { CopyButton } from './button';
import { Segmented } from './form';

type Tool = 'curl' | 'grpcurl' | 'sala';

/** Shows the commands for a call. They take the key from $SALA_API_KEY; the page never shows it. */
export function Same({ call, open = false }: { call: Call<unknown>; open?: boolean }) {
  const t = useTexts();
  const [tool, setTool] = useState<Tool>('curl');
  const tools: Tool[] = call.cli ? ['curl', 'grpcurl', 'sala'] : ['curl', 'grpcurl'];
  const shown = tools.includes(tool) ? tool : 'curl';
  const command = commandFor(shown, call);
  return (
    <details class="same" open={open}>
      <summary>{t.same.title}</summary>
      <div class="same-head">
        <Segmented label={t.same.tool} value={shown} options={tools.map((each) => ({ value: each, label: each === 'sala' ? 'CLI' : each }))} onChange={setTool} />
        <CopyButton text={command} label={shown} />
      </div>
      <pre tabIndex={0} aria-label={t.same.command(shown)}><code>{command}</code></pre>
    </details>
  );
}

export function commandFor(tool: Tool, call: Call<unknown>): string {
  switch (tool) {
    case 'curl': return curl(call);
    case 'grpcurl': return grpcurl(call);
    case 'sala': return `sala ${(call.cli ?? []).map(quote).join(' ')}`;
  }
}

const HEADER = '-H "Authorization: Bearer $SALA_API_KEY"';
const GRPC_PORT = 9090; // the default of --grpc-listen

function curl(call: Call<unknown>): string {
  const method = call.method === 'GET' ? '' : `-X ${call.method} `;
  const lines = [`curl -sS ${method}${quote(urlOf(call).href)}`, `  ${HEADER}`];
  if (call.body) lines.push("  -H 'Content-Type: application/json'", `  -d ${quote(JSON.stringify(call.body))}`);
  return lines.join(' \\\n');
}

function grpcurl(call: Call<unknown>): string {
  const plain = location.protocol === 'https:' ? '' : '-plaintext ';
  const lines = [`grpcurl ${plain}${HEADER}`, `  -d ${quote(JSON.stringify(call.message))}`, `  ${location.hostname}:${GRPC_PORT} sala.v1.${call.rpc}`];
  return lines.join(' \\\n');
}

// For a POSIX shell: as it is if nothing in it is special.
function quote(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
