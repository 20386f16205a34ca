import { serveCalls } from '../remote.ts';
import type { Attack, AttackersApi, Place } from './api.ts';
import { operate, pipeline, repeat } from './requests.ts';
import { bare } from './sockets.ts';
import { control, join, talk } from './websockets.ts';

function perform(attack: Attack, place: Place): Promise<number> {
  switch (attack.kind) {
    case 'repeat':
      return repeat(attack, place);
    case 'pipeline':
      return pipeline(attack, place);
    case 'operate':
      return operate(attack, place);
    case 'talk':
      return talk(attack, place);
    case 'control':
      return control(attack, place);
    case 'join':
      return join(attack, place);
    case 'bare':
      return bare(attack, place);
  }
}

serveCalls<AttackersApi>({ attack: ({ attack, place }) => perform(attack, place) });
