export function show(target, text) {
  target.innerHTML = text;
  localStorage.setItem("token", text);
  eval(text);
  return missingName;
}
