import type { errors, JWTPayload, JWTVerifyGetKey } from 'jose';
import type { Clock } from '../clock.ts';
import { Refusal, retryAfterMs } from '../hub/errors.ts';
import { isDeviceName, isRoomPattern, roomsMatcher } from '../hub/event.ts';
import type { Subscriber } from '../hub/subscriber.ts';
import { CLOSE } from '../protocol/close-reason.ts';
import { PUBLIC_ALGORITHMS, type VerificationKey } from './verification-keys.ts';

/** What tokens are checked against. */
export interface TokenRules {
  readonly issuer?: string | undefined;
  readonly audience?: string | undefined;
  /** By how much the clock of the issuer may differ. */
  readonly leewaySeconds: number;
}

/** Finds the key that the header of a token names. Throws a `Refusal` (401, 503). */
export interface KeySource {
  find(algorithm: string, kid: string | undefined): Promise<VerificationKey>;
}

/** A longer token is refused unread. */
const MAX_TOKEN_CHARACTERS = 16_384;
/** So many patterns a claim may have: each is compared with the name of each room that the client joins. */
const MAX_PATTERNS = 100;
/** Each one under way holds a socket and its request; they wait long only where keys are being fetched. */
const MAX_VERIFYING = 256;
/** A client that is told that too many are being verified tries again after this, and a time at random. */
const BUSY_MS = 1000;
/** The last instant that a `Date` has. */
const MAX_INSTANT_MS = 8_640_000_000_000_000;

/** Verifies the tokens of listeners: JSON Web Tokens (RFC 7519), signed with a key that `access` names. */
export class SubscriberTokens {
  readonly #rules: TokenRules;
  readonly #keys: VerificationKey | KeySource;
  readonly #clock: Pick<Clock, 'now'>;
  /** Only for servers that check tokens: it has 46 files, which take 15 ms of the start. */
  readonly #jose = import('jose');
  #verifying = 0;

  constructor(rules: TokenRules, keys: VerificationKey | KeySource, clock: Pick<Clock, 'now'>) {
    this.#rules = rules;
    this.#keys = keys;
    this.#clock = clock;
  }

  /**
   * Resolves to what the token allows. Rejects with a 401 `Refusal` that says what is wrong with it and
   * repeats nothing of it, or with a 503 where it cannot be verified at the moment.
   */
  async verify(token: string): Promise<Subscriber> {
    if (this.#verifying >= MAX_VERIFYING) {
      throw cannotVerify('too many tokens are being verified', retryAfterMs(BUSY_MS, this.#verifying));
    }
    if (token.length > MAX_TOKEN_CHARACTERS) {
      throw wrongToken(`the token is longer than ${MAX_TOKEN_CHARACTERS} characters`);
    }
    this.#verifying++;
    try {
      return this.#subscriber(await this.#payload(token));
    } finally {
      this.#verifying--;
    }
  }

  async #payload(token: string): Promise<JWTPayload> {
    const { errors, jwtVerify } = await this.#jose;
    try {
      const { payload } = await jwtVerify(token, this.#keyOf, {
        ...this.#rules,
        algorithms: 'find' in this.#keys ? [...PUBLIC_ALGORITHMS] : [this.#keys.algorithm],
        clockTolerance: this.#rules.leewaySeconds,
        currentDate: new Date(this.#clock.now()),
      });
      return payload;
    } catch (error) {
      // Anything else is a fault of the server.
      throw error instanceof errors.JOSEError ? wrongToken(whyWrong(error, errors)) : error;
    }
  }

  readonly #keyOf: JWTVerifyGetKey = async ({ alg, kid }) => {
    const { key } = 'find' in this.#keys ? await this.#keys.find(alg, kid) : this.#keys;
    return key;
  };

  #subscriber({ sub, exp, rooms, publish }: JWTPayload): Subscriber {
    if (sub !== undefined && (typeof sub !== 'string' || !isDeviceName(sub))) {
      throw wrongToken('the claim "sub" of the token must be 1 to 128 printable characters');
    }
    const expiresAtMs = exp === undefined ? undefined : Math.min(exp * 1000, MAX_INSTANT_MS);
    return {
      user: sub,
      mayJoin: roomsMatcher(patternsOf('rooms', rooms)),
      mayPublish: roomsMatcher(patternsOf('publish', publish)),
      expiresAtMs,
      endsAtMs: (expiresAtMs ?? Number.POSITIVE_INFINITY) + this.#rules.leewaySeconds * 1000,
    };
  }
}

function patternsOf(claim: string, value: unknown = []): readonly string[] {
  const patterns: readonly unknown[] = Array.isArray(value) ? value : [value];
  const isPattern = (each: unknown): each is string => typeof each === 'string' && isRoomPattern(each);
  if (patterns.length <= MAX_PATTERNS && patterns.every(isPattern)) return patterns;
  throw wrongToken(
    `the claim "${claim}" of the token must be a room pattern such as "ops-*", or a list of at most ${MAX_PATTERNS}`,
  );
}

/** What `jose` found wrong, in words that repeat nothing of the token. */
function whyWrong(error: errors.JOSEError, kinds: typeof errors): string {
  if (error instanceof kinds.JWTExpired) return 'the token has expired: get a new one';
  if (error instanceof kinds.JWTClaimValidationFailed) return whyClaimWrong(error);
  if (error instanceof kinds.JWSSignatureVerificationFailed) return UNKNOWN_KEY;
  if (error instanceof kinds.JOSEAlgNotAllowed) return 'the token is not signed as this server accepts it';
  return 'the token is not a signed JSON Web Token';
}

const WRONG_CLAIMS: Readonly<Record<string, string>> = {
  nbf: 'is not valid yet',
  iss: 'is of another issuer',
  aud: 'is for another audience',
};

function whyClaimWrong({ claim, reason }: errors.JWTClaimValidationFailed): string {
  if (reason === 'check_failed' && Object.hasOwn(WRONG_CLAIMS, claim))
    return `the token ${WRONG_CLAIMS[claim]}`;
  // The names of claims are those that are looked at.
  return `the claim "${claim}" of the token is missing or of a wrong type`;
}

const UNKNOWN_KEY = 'the token is not signed with a key that is known here';

/** The 401 for a token that no key here has signed. */
export function unknownKey(): Refusal {
  return wrongToken(UNKNOWN_KEY);
}

function wrongToken(message: string): Refusal {
  const description = message.replaceAll('"', "'");
  return new Refusal(401, message, {
    headers: { 'WWW-Authenticate': `Bearer error="invalid_token", error_description="${description}"` },
  });
}

/** The 503 for a token that may be right. */
export function cannotVerify(why: string, afterMs: number): Refusal {
  const reason = `${why}: come back in a moment`;
  return new Refusal(503, reason, {
    reason: 'token',
    retryAfterMs: afterMs,
    closing: { ...CLOSE.full, reason: why, retryAfterMs: afterMs },
  });
}

// Where a token is

/** What a request says: as access control sees it. */
export interface TokenCarrier {
  readonly url: { readonly searchParams: Pick<URLSearchParams, 'getAll'> };
  header(name: string): string | undefined;
}

/** Begins the subprotocol that carries a token: a browser can send no header with a WebSocket. */
const SUBPROTOCOL = 'bearer.';

/**
 * The token of a request: in the header `Authorization`, in the subprotocol `bearer.<token>`, or in the query
 * as `access_token`. An empty `access_token` is none, and so is a header of another scheme, which may be a
 * proxy's. Throws a 400 `Refusal` for more than one.
 */
export function tokenOf(request: TokenCarrier): string | undefined {
  const tokens = request.url.searchParams.getAll('access_token').filter((token) => token !== '');
  const authorization = request.header('authorization') ?? '';
  if (/^bearer(?= |$)/i.test(authorization)) tokens.push(authorization.slice('bearer'.length).trim());
  for (const offered of request.header('sec-websocket-protocol')?.split(',') ?? []) {
    const name = offered.trim();
    if (name.startsWith(SUBPROTOCOL)) tokens.push(name.slice(SUBPROTOCOL.length));
  }
  const [token, ...others] = tokens;
  if (others.length === 0) return token;
  throw new Refusal(
    400,
    'there is more than one token: send one, as the header Authorization, the subprotocol bearer.<token> or access_token',
  );
}
