import type { Delivered, Delivery } from '../hub/delivery.ts';

/** What schedules need of the hub. */
export interface Listeners {
  /** Whether anybody is in a room that one of the patterns matches. */
  anyone(rooms: readonly string[]): boolean;
  /** Hands it to the members here in this very turn. Never throws for a member's sake. */
  deliver(delivery: Delivery): Delivered;
}
