import { BlockList, isIPv4, isIPv6 } from 'node:net';

/** Where a broker is, and whether the connection is encrypted. */
export interface Address {
  /** `host:port`, as gRPC dials it. */
  target: string;
  /** Whether to use TLS. */
  tls: boolean;
}

/**
 * Reads `host:port` or `http(s)://host:port`. `http` means plaintext and `https` TLS. Without a
 * scheme, `tls` decides; if that is undefined too, only loopback addresses are plaintext: an API key
 * never goes over a network in the clear unless somebody asked for it.
 *
 * Throws a `TypeError` if the address is neither, or contradicts `tls`.
 * @internal
 */
export function parseAddress(address: string, tls: boolean | undefined): Address {
  const [, scheme, target = ''] = /^(?:(https?):\/\/)?([^/?#@\s]+)\/?$/.exec(address) ?? [];
  const [, bracketed, name, port] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(target) ?? [];
  const host = bracketed ?? name;
  if (!host || !port || Number(port) > 65535) throw new TypeError(`the address of the broker must be host:port, http://host:port or https://host:port, not ${JSON.stringify(address)}`);
  if (scheme === undefined) return { target, tls: tls ?? !isLoopback(host) };
  const encrypted = scheme === 'https';
  if (tls !== undefined && tls !== encrypted) throw new TypeError(`the address ${JSON.stringify(address)} contradicts the option tls`);
  return { target, tls: encrypted };
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

function isLoopback(host: string): boolean {
  if (isIPv4(host)) return LOOPBACK.check(host, 'ipv4');
  if (isIPv6(host)) return LOOPBACK.check(host, 'ipv6');
  return host === 'localhost' || host.endsWith('.localhost');
}
