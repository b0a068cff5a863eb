"use strict";

// Builds a small form for each operation of /openapi.json. Text from the server only ever becomes text, never markup.

const element = (name, text, attributes = {}) => {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};

const resolve = (api, schema) =>
  schema && schema.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema;

const example = (api, schema, depth = 0) => {
  const known = resolve(api, schema) || {};
  if (known.enum) return known.enum[0];
  if (known.type === "array") return [];
  if (known.type === "boolean") return false;
  if (known.type === "integer" || known.type === "number") return 0;
  if (known.type === "string") return "";
  if (!known.properties || depth > 1) return {};
  return Object.fromEntries(
    Object.entries(known.properties).map(([name, part]) => [name, example(api, part, depth + 1)]));
};

const show = async (output, answer) => {
  output.textContent = `${answer.status}\n`;
  const reader = answer.body && answer.body.pipeThrough(new TextDecoderStream()).getReader();
  while (reader) {
    const { done, value } = await reader.read();
    if (done) break;
    output.textContent += value;
  }
  try {
    const [status, ...rest] = output.textContent.split("\n");
    output.textContent = `${status}\n${JSON.stringify(JSON.parse(rest.join("\n")), null, 2)}`;
  } catch { /* a stream, or no body: shown as it came */ }
};

const form = (api, path, verb, operation) => {
  const box = element("details");
  const summary = element("summary");
  summary.append(element("span", verb.toUpperCase(), { class: "verb" }), element("code", path),
    document.createTextNode(` ${operation.summary}`));
  const fields = new Map();
  box.append(summary);
  for (const parameter of operation.parameters) {
    const label = element("label", `${parameter.name} (${parameter.in})`);
    const input = element("input");
    fields.set(parameter, input);
    label.append(input);
    box.append(label);
  }
  let body = null;
  if (operation.requestBody) {
    const schema = operation.requestBody.content["application/json"].schema;
    body = element("textarea", JSON.stringify(example(api, schema), null, 2), { rows: 8 });
    const label = element("label", "body");
    label.append(body);
    box.append(label);
  }
  const send = element("button", "Send");
  const stop = element("button", "Stop");
  const output = element("pre");
  let running = null;
  send.addEventListener("click", async () => {
    running?.abort();
    running = new AbortController();
    let target = path;
    const query = new URLSearchParams();
    const headers = {};
    for (const [parameter, input] of fields) {
      if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
      else if (input.value !== "" && parameter.in === "header") headers[parameter.name] = input.value;
      else if (input.value !== "") query.append(parameter.name, input.value);
    }
    const token = document.getElementById("token").value.trim();
    if (token) headers.authorization = `Bearer ${token}`;
    if (body) headers["content-type"] = "application/json";
    try {
      const answer = await fetch(query.size ? `${target}?${query}` : target,
        { method: verb.toUpperCase(), headers, body: body ? body.value : undefined, signal: running.signal });
      await show(output, answer);
    } catch (error) {
      output.textContent += `\n${error}`;
    }
  });
  stop.addEventListener("click", () => running?.abort());
  box.append(send, stop, output);
  return box;
};

const main = async () => {
  const state = document.getElementById("state");
  const answer = await fetch("/openapi.json");
  const api = await answer.json();
  if (!answer.ok) {
    state.textContent = api.error.message;
    return;
  }
  const operations = document.getElementById("operations");
  for (const tag of api.tags) {
    operations.append(element("h2", tag.name));
    for (const [path, verbs] of Object.entries(api.paths))
      for (const [verb, operation] of Object.entries(verbs))
        if (operation.tags.includes(tag.name)) operations.append(form(api, path, verb, operation));
  }
  state.textContent = "";
};

main().catch((error) => { document.getElementById("state").textContent = String(error); });
