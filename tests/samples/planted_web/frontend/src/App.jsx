import React, { useEffect, useState } from "react";
import List from "./List.tsx";
import Unused from "./Unused";

export default function App({ id, html }) {
  const [items, setItems] = useState([]);
  useEffect(() => {
    fetch(`/api/${id}`).then((answer) => answer.json()).then(setItems);
  }, []);
  return (
    <div>
      {items.map((item) => <p>{item.name}</p>)}
      <List items={items} />
      <div dangerouslySetInnerHTML={{ __html: html }} />
    </div>
  );
}
