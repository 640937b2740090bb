// Never ends loading.
await new Promise((resolve) => setTimeout(resolve, 2 ** 31 - 1));
export default function unreachable(): undefined {
  return undefined;
}
