import { DecodeError } from '../errors.js';
import { float8Text } from './float8-text.js';

/**
 * Geometric types: float8 coordinates, with a byte that is 1 for a closed path and an int32 count of points in paths
 * and polygons.
 *
 * @see https://github.com/postgres/postgres/blob/master/src/backend/utils/adt/geo_ops.c
 */

export function pointText(bytes: Buffer): string {
  requireLength(bytes, 16);
  return pointAt(bytes, 0);
}

export function lsegText(bytes: Buffer): string {
  requireLength(bytes, 32);
  return `[${pointsAt(bytes, 0, 2)}]`;
}

export function boxText(bytes: Buffer): string {
  requireLength(bytes, 32);
  return pointsAt(bytes, 0, 2);
}

export function lineText(bytes: Buffer): string {
  requireLength(bytes, 24);
  return `{${float8At(bytes, 0)},${float8At(bytes, 8)},${float8At(bytes, 16)}}`;
}

export function circleText(bytes: Buffer): string {
  requireLength(bytes, 24);
  return `<${pointAt(bytes, 0)},${float8At(bytes, 16)}>`;
}

export function pathText(bytes: Buffer): string {
  const isClosed = bytes.readUInt8(0) === 1;
  const pointCount = bytes.readInt32BE(1);
  requireLength(bytes, 5 + 16 * pointCount);
  const points = pointsAt(bytes, 5, pointCount);
  return isClosed ? `(${points})` : `[${points}]`;
}

export function polygonText(bytes: Buffer): string {
  const pointCount = bytes.readInt32BE(0);
  requireLength(bytes, 4 + 16 * pointCount);
  return `(${pointsAt(bytes, 4, pointCount)})`;
}

function pointsAt(bytes: Buffer, start: number, count: number): string {
  const points: string[] = [];
  for (let index = 0; index < count; index++) {
    points.push(pointAt(bytes, start + 16 * index));
  }
  return points.join(',');
}

function pointAt(bytes: Buffer, at: number): string {
  return `(${float8At(bytes, at)},${float8At(bytes, at + 8)})`;
}

function float8At(bytes: Buffer, at: number): string {
  return float8Text(bytes.readDoubleBE(at));
}

function requireLength(bytes: Buffer, byteCount: number): void {
  if (bytes.length !== byteCount) {
    throw new DecodeError(`geometric value takes ${bytes.length} bytes instead of ${byteCount}`, { offset: 0 });
  }
}
