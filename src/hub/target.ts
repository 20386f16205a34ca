/**
 * Whom something is addressed to: the union of what is named. No key at all is every room. What
 * reaches somebody through a device or a connection is for them alone: no room, no id, no history.
 */
export interface Target {
  /** Room patterns. */
  readonly rooms?: readonly string[];
  readonly devices?: readonly string[];
  /** Connection ids. */
  readonly connections?: readonly string[];
  readonly users?: readonly string[];
  /** Connection ids that get nothing, however they are reached. */
  readonly except?: readonly string[];
}

/** The room patterns of a target: all rooms where nobody is named. */
export function targetRooms(target: Target): readonly string[] {
  const named = target.devices ?? target.connections ?? target.users;
  return target.rooms ?? (named === undefined ? ['*'] : []);
}
