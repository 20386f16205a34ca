type Headers = Readonly<Record<string, string>>;

/**
 * On every answer but 101, refusals included, also those that are written on a bare socket. They restrict
 * what a browser does with the answer; HSTS is for the proxy that has the certificate.
 */
export const SECURITY_HEADERS: Headers = {
  // JSON and text are never taken for a script or a page.
  'X-Content-Type-Options': 'nosniff',
  // The address of a room may hold a token, and its name may be internal.
  'Referrer-Policy': 'no-referrer',
  // No other page can load it as a picture or a script. What `allowedOrigins` permits is asked for with CORS,
  // to which this does not apply.
  'Cross-Origin-Resource-Policy': 'same-origin',
  // An answer that is opened as a page loads nothing, and stands in no frame. Every browser that can run the
  // room's page knows `frame-ancestors`, so there is no `X-Frame-Options`, which can name no other origin.
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
};

/**
 * On pages in place of those: they run code of this server, connect to its origin (`'self'` covers `ws:` and
 * `wss:` of it as well), and never turn text into markup or script. `frameAncestors`: who may show them in
 * a frame, see `Origins.frameAncestors`.
 */
export function pageHeaders(frameAncestors: string): Headers {
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    `frame-ancestors ${frameAncestors}`,
    "require-trusted-types-for 'script'",
  ];
  return {
    ...SECURITY_HEADERS,
    'Content-Security-Policy': policy.join('; '),
    'Permissions-Policy': 'camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()',
  };
}
