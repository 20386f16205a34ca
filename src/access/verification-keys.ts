import { createPublicKey, createSecretKey, type JsonWebKey, type KeyObject } from 'node:crypto';

/** The algorithms of RFC 7518 and RFC 8037 with which a listener's token may be signed. */
export type Algorithm = 'HS256' | 'RS256' | 'ES256' | 'EdDSA';

/** Those with a public key: all that the keys of an address may be for. */
export const PUBLIC_ALGORITHMS: readonly Algorithm[] = ['RS256', 'ES256', 'EdDSA'];

/**
 * A key with the one algorithm that it verifies. A token does not choose: `alg: none`, or a public key taken
 * for the secret of HS256, cannot pass (RFC 8725, 3.1).
 */
export interface VerificationKey {
  readonly key: KeyObject;
  readonly algorithm: Algorithm;
}

/** As HS256 needs it (RFC 7518, 3.2). */
const MIN_SECRET_BYTES = 32;
/** As RS256 needs it (RFC 7518, 3.3). */
const MIN_RSA_BITS = 2048;

const PUBLIC_KEY_ACCEPTS = `a public key of RSA with at least ${MIN_RSA_BITS} bits, of EC P-256 or of Ed25519`;

/** Says why there is no key. The message never repeats any of what was read. */
export class KeyError extends Error {
  override readonly name = 'KeyError';
}

/** A secret for HS256. Throws a `KeyError`. */
export function secretKey(secret: string): VerificationKey {
  const bytes = Buffer.from(secret);
  if (bytes.length < MIN_SECRET_BYTES) {
    throw new KeyError(`holds ${bytes.length} bytes: a secret has at least ${MIN_SECRET_BYTES}`);
  }
  return { key: createSecretKey(bytes), algorithm: 'HS256' };
}

/** A public key as PEM or as a JWK. Throws a `KeyError`. */
export function publicKey(text: string): VerificationKey {
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) throw privateKeyGiven();
  if (text.trimStart().startsWith('{')) return jwkKey(parsed(text));
  try {
    return withAlgorithm(createPublicKey(text));
  } catch (error) {
    throw error instanceof KeyError ? error : notAKey();
  }
}

/** The public key of a JWK (RFC 7517). Throws a `KeyError`. */
export function jwkKey(jwk: unknown): VerificationKey {
  if (typeof jwk !== 'object' || jwk === null) throw notAKey();
  if ('d' in jwk || 'k' in jwk) throw privateKeyGiven();
  try {
    // Checked by the function: it throws for what is no JWK.
    return withAlgorithm(createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' }));
  } catch (error) {
    throw error instanceof KeyError ? error : notAKey();
  }
}

function withAlgorithm(key: KeyObject): VerificationKey {
  const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'rsa':
      if (modulusLength >= MIN_RSA_BITS) return { key, algorithm: 'RS256' };
      throw new KeyError(`is a key of RSA with ${modulusLength} bits: write ${PUBLIC_KEY_ACCEPTS}`);
    case 'ec':
      if (namedCurve === 'prime256v1') return { key, algorithm: 'ES256' };
      throw new KeyError(`is a key of EC ${namedCurve}: write ${PUBLIC_KEY_ACCEPTS}`);
    case 'ed25519':
      return { key, algorithm: 'EdDSA' };
    default:
      throw new KeyError(`is a key of the type ${key.asymmetricKeyType}: write ${PUBLIC_KEY_ACCEPTS}`);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw notAKey();
  }
}

function notAKey(): KeyError {
  return new KeyError(`is no key: write ${PUBLIC_KEY_ACCEPTS}, as PEM ("BEGIN PUBLIC KEY") or as a JWK`);
}

function privateKeyGiven(): KeyError {
  return new KeyError('is a secret or private key, which this server does not need: write the public key');
}
