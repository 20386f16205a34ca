/** The store cannot be used. The message says which, why, and what to do. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
}
