import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { UpgradeGate, type UpgradeGateParts } from '../../src/transport/upgrade-gate.ts';
import { handshake, RawClient, request } from '../helpers/raw.ts';

/** The gate in a server of another program. */
async function gate(parts: Partial<UpgradeGateParts>, listener: RequestListener = () => {}) {
  const faults: unknown[] = [];
  const refused: string[] = [];
  const server = createServer(listener);
  const entry = { rooms: [], peer: { remoteAddress: '' }, since: undefined, slot, reservation: slot };
  const { onUpgrade } = new UpgradeGate({
    admission: { enter: () => entry },
    accept: ({ socket }) => socket.end('accepted'),
    onRefused: (reason) => refused.push(reason),
    onFault: (_what, error) => faults.push(error),
    ...parts,
  });
  server.on('upgrade', onUpgrade);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo; // it listens on TCP
  return { port, faults, refused };
}

const slot = { release() {} };

it('cuts a socket whose request cannot be accepted, and reports why', async () => {
  const fault = new Error('a fault');
  const { port, faults } = await gate({
    accept() {
      throw fault;
    },
  });
  expect(await new RawClient(port).say(handshake()).all()).toBe('');
  expect(faults).toEqual([fault]);
});

it('cuts a socket on which the answer before is unfinished', async () => {
  const { port, refused } = await gate({});
  expect(await new RawClient(port).say(request('/') + handshake()).all()).toBe('');
  expect(refused).toEqual(['input']);
  expect(await new RawClient(port).say(handshake()).all()).toBe('accepted');
});
