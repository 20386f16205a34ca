/** Writes and reads the ids of one log, `<epoch>-<position>`. */
export class Ids {
  readonly epoch: string;

  /** `epoch`: letters and digits. */
  constructor(epoch: string) {
    this.epoch = epoch;
  }

  at(position: number): string {
    return `${this.epoch}-${position}`;
  }

  /** `undefined` for an id that is not of this log, or lies ahead of `head`. */
  positionOf(id: string, head: number): number | undefined {
    const [epoch, digits = '', ...rest] = id.split('-');
    if (epoch !== this.epoch || rest.length > 0 || !/^(?:0|[1-9]\d{0,15})$/.test(digits)) return undefined;
    const position = Number(digits);
    return position <= head ? position : undefined;
  }
}
