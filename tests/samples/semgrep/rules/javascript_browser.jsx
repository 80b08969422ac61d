import DOMPurify from "dompurify";

function run(code, element, text, frame) {
  // ruleid: referee.javascript.eval-of-value
  eval(code);
  // ruleid: referee.javascript.eval-of-value
  new Function("a", code);
  // ok: referee.javascript.eval-of-value
  JSON.parse(code);
  // ruleid: referee.javascript.inner-html
  element.innerHTML = text;
  // ruleid: referee.javascript.inner-html
  element.insertAdjacentHTML("beforeend", `<li>${text}</li>`);
  // ok: referee.javascript.inner-html
  element.innerHTML = "";
  // ok: referee.javascript.inner-html
  element.textContent = text;
  // ruleid: referee.javascript.document-write
  document.write(text);
  // ok: referee.javascript.document-write
  document.write("<hr>");
  // ruleid: referee.javascript.token-in-local-storage
  localStorage.setItem("token", text);
  // ok: referee.javascript.token-in-local-storage
  localStorage.setItem("theme", text);
  // ruleid: referee.javascript.post-message-any-origin
  frame.contentWindow.postMessage(text, "*");
  // ok: referee.javascript.post-message-any-origin
  frame.contentWindow.postMessage(text, "https://shop.example");
  // ruleid: referee.javascript.empty-catch
  try {
    run();
  } catch (error) {
  }
  // ok: referee.javascript.empty-catch
  try {
    run();
  } catch (error) {
    console.error(error);
  }
}

export function Page({ html, user }) {
  return (
    <div>
      {/* ruleid: referee.javascript.react-dangerous-html */}
      <p dangerouslySetInnerHTML={{ __html: html }} />
      {/* ok: referee.javascript.react-dangerous-html */}
      <p dangerouslySetInnerHTML={{ __html: DOMPurify.sanitize(html) }} />
      {/* ruleid: referee.javascript.react-script-address */}
      <a href={user.website}>site</a>
      {/* ok: referee.javascript.react-script-address */}
      <a href="/about">about</a>
      {/* ruleid: referee.javascript.target-blank-without-noopener */}
      <a href="https://other.example" target="_blank">other</a>
      {/* ok: referee.javascript.target-blank-without-noopener */}
      <a href="https://other.example" target="_blank" rel="noopener noreferrer">other</a>
    </div>
  );
}
