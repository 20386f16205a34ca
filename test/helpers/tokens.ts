import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type JWTPayload, SignJWT } from 'jose';
import { onTestFinished } from 'vitest';

export interface KeyPair {
  readonly kid: string;
  readonly algorithm: 'RS256' | 'ES256' | 'EdDSA';
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export function keyPair(kid: string, algorithm: KeyPair['algorithm'] = 'ES256'): KeyPair {
  const { publicKey, privateKey } = pairFor(algorithm);
  return { kid, algorithm, publicKey, privateKey };
}

function pairFor(algorithm: KeyPair['algorithm']) {
  if (algorithm === 'RS256') return generateKeyPairSync('rsa', { modulusLength: 2048 });
  if (algorithm === 'ES256') return generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return generateKeyPairSync('ed25519');
}

/** A token that is signed with a key pair, or with the secret of HS256. */
export function signed(claims: JWTPayload, key: KeyPair | string, header: object = {}): Promise<string> {
  const isSecret = typeof key === 'string';
  const alg = isSecret ? 'HS256' : key.algorithm;
  return new SignJWT(claims)
    .setProtectedHeader({ alg, ...(isSecret ? {} : { kid: key.kid }), ...header })
    .sign(isSecret ? Buffer.from(key) : key.privateKey);
}

/** A token whose signature is what is given: nothing checks it while it is made. */
export function unsigned(header: object, claims: object, signature = ''): string {
  const part = (object: object) => Buffer.from(JSON.stringify(object)).toString('base64url');
  return `${part(header)}.${part(claims)}.${signature}`;
}

/** The keys as a JSON Web Key Set. */
export function keySet(...keys: readonly KeyPair[]): string {
  return JSON.stringify({
    keys: keys.map(({ kid, publicKey }) => ({ ...publicKey.export({ format: 'jwk' }), kid })),
  });
}

/** A server of a JSON Web Key Set that counts how often it was asked. */
export interface KeyServer {
  readonly url: string;
  /** How many requests came. */
  count: number;
  /** What it answers; `undefined`: it cuts the connection, `null`: it never answers. */
  body: string | undefined | null;
  status: number;
  /** Answers wait for it. */
  held: Promise<unknown>;
}

export async function keyServer(body: KeyServer['body']): Promise<KeyServer> {
  const server = createServer(async (_request, response) => {
    state.count++;
    await state.held;
    if (state.body === undefined) response.destroy();
    else if (state.body !== null) response.writeHead(state.status, { location: '/' }).end(state.body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo; // it listens on TCP
  const url = `http://127.0.0.1:${port}/jwks.json`;
  const state: KeyServer = { url, count: 0, body, status: 200, held: Promise.resolve() };
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return state;
}
