type Item = { name: string; size: any };

export default function List({ items }: { items: Item[] }) {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  const extra: any = window;
  return <ul>{items.map((item) => <li key={item.name}>{item.name}{extra.title}</li>)}</ul>;
}
