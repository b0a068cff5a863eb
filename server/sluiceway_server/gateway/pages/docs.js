"use strict";

// Shows each operation of /openapi.json: its texts, a form to call it, the fields of its body and its answers.
// Text from the server only ever becomes text, never markup.

const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};

// --- texts ---------------------------------------------------------------------------------------------------------

// Of Markdown, what the comments of the protos use: paragraphs, lists, and code in backticks.
const inline = (text) =>
  text.split("`").map((part, at) => (at % 2 ? element("code", {}, part) : document.createTextNode(part)));

const prose = (text) => {
  const box = element("div", { class: "prose" });
  let list = null;
  for (const line of (text || "").split("\n")) {
    if (line.startsWith("- ")) {
      if (!list) box.append((list = element("ul")));
      list.append(element("li", {}, ...inline(line.slice(2))));
    } else if (line.trim()) {
      list = null;
      box.append(element("p", {}, ...inline(line)));
    }
  }
  return box;
};

// --- schemas -------------------------------------------------------------------------------------------------------

const resolve = (api, part) => {
  if (!part?.$ref) return part || {};
  const target = part.$ref.slice(2).split("/").reduce((at, name) => at[name], api);
  return { ...target, ...part };
};

const typeOf = (api, schema) => {
  const known = resolve(api, schema);
  if (known.enum) return "enum";
  if (known.type === "array") return `list of ${typeOf(api, known.items)}`;
  if (known.type === "object" && known.additionalProperties) return `map to ${typeOf(api, known.additionalProperties)}`;
  if (known.type === "object") return "object";
  if (known.contentEncoding) return known.contentEncoding;
  return known.format ? `${known.type} (${known.format})` : [known.type || "any"].flat().join(" or ");
};

const limitsOf = (schema) => {
  const found = [];
  if (schema.minimum !== undefined && schema.maximum !== undefined) found.push(`${schema.minimum} to ${schema.maximum}`);
  else if (schema.minimum !== undefined) found.push(`at least ${schema.minimum}`);
  else if (schema.maximum !== undefined) found.push(`at most ${schema.maximum}`);
  if (schema.maxLength !== undefined) found.push(`at most ${schema.maxLength} characters`);
  const elements = schema.maxItems ?? schema.maxProperties;
  if (elements !== undefined) found.push(`at most ${elements} elements`);
  return found;
};

const notes = (api, schema, required) => {
  const words = [typeOf(api, schema), ...limitsOf(schema)];
  if (schema.readOnly) words.push("only in answers");
  if (schema.writeOnly) words.push("only in requests");
  const made = element("span", { class: "notes" }, ` ${words.join(", ")}`);
  if (required) made.append(" ", element("strong", {}, "required"));
  return made;
};

// The object whose fields a schema has, through lists and maps.
const objectOf = (api, schema) => {
  const known = resolve(api, schema);
  if (known.properties) return known;
  const inner = known.items || (typeof known.additionalProperties === "object" && known.additionalProperties);
  return inner ? objectOf(api, inner) : null;
};

const enumOf = (api, schema) => {
  const known = resolve(api, schema);
  return known.enum ? known : known.items ? enumOf(api, known.items) : null;
};

const fieldsOf = (api, schema) => {
  const list = element("dl");
  for (const [name, field] of Object.entries(schema.properties)) {
    list.append(element("dt", {}, element("code", {}, name), notes(api, field, schema.required?.includes(name))));
    const described = element("dd", {}, prose(field.description));
    const inner = objectOf(api, field);
    const values = enumOf(api, field);
    if (inner) described.append(later(`Fields of ${name}`, () => fieldsOf(api, inner)));
    else if (values) described.append(later(`Values of ${name}`, () => prose(componentOf(api, field).description)));
    list.append(described);
  }
  return list;
};

const componentOf = (api, schema) =>
  resolve(api, schema.$ref ? { $ref: schema.$ref } : schema.items?.$ref ? { $ref: schema.items.$ref } : schema);

// Made when it is opened for the first time: messages may hold themselves.
const later = (title, make) => {
  const box = element("details", { class: "inner" }, element("summary", {}, title));
  box.addEventListener("toggle", () => { if (box.open && box.children.length === 1) box.append(make()); });
  return box;
};

// --- calls ---------------------------------------------------------------------------------------------------------

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

const inputFor = (api, parameter) => {
  const schema = resolve(api, parameter.schema);
  const choices = schema.enum || (schema.type === "boolean" ? ["true", "false"] : null);
  if (!choices) return element("input", { autocomplete: "off", spellcheck: "false" });
  return element("select", {}, ...["", ...choices].map((value) => element("option", { value }, value)));
};

const requestOf = (path, verb, fields, body) => {
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
  return [query.size ? `${target}?${query}` : target,
    { method: verb.toUpperCase(), headers, body: body ? body.value : undefined }];
};

const form = (api, path, verb, operation) => {
  const box = element("form");
  const fields = new Map();
  for (const parameter of operation.parameters) {
    const input = inputFor(api, parameter);
    fields.set(parameter, input);
    const name = element("code", {}, parameter.name);
    const about = [` in the ${parameter.in}`, notes(api, parameter.schema, parameter.required)];
    box.append(element("label", {}, name, ...about, prose(parameter.description), input));
  }
  let body = null;
  const content = operation.requestBody?.content["application/json"];
  if (content) {
    const text = JSON.stringify(content.example, null, 2);
    body = element("textarea", { rows: Math.min(32, text.split("\n").length + 2), spellcheck: "false" }, text);
    box.append(element("label", {}, "Body", body));
    box.append(later("Fields of the body", () => fieldsOf(api, objectOf(api, content.schema))));
  }
  const output = element("pre", { hidden: "" });
  const stop = element("button", { type: "button" }, "Stop");
  let running = null;
  box.addEventListener("submit", async (event) => {
    event.preventDefault();
    running?.abort();
    running = new AbortController();
    output.hidden = false;
    const [target, request] = requestOf(path, verb, fields, body);
    try {
      await show(output, await fetch(target, { ...request, signal: running.signal }));
    } catch (error) {
      output.textContent += `\n${error}`;
    }
  });
  stop.addEventListener("click", () => running?.abort());
  box.append(element("p", {}, element("button", {}, "Send"), " ", stop), output);
  return box;
};

// --- the page ------------------------------------------------------------------------------------------------------

const answersOf = (api, operation) => {
  const list = element("dl");
  for (const [code, answer] of Object.entries(operation.responses)) {
    const known = resolve(api, answer);
    list.append(element("dt", {}, element("code", {}, code)));
    const described = element("dd", {}, prose(known.description));
    const schema = Object.values(known.content || {}).map((part) => part["x-sluiceway-event"] || part.schema)[0];
    const inner = code.startsWith("2") && schema && objectOf(api, schema);
    if (inner) described.append(later("Fields of the answer", () => fieldsOf(api, inner)));
    list.append(described);
  }
  return list;
};

const section = (api, path, verb, operation) => {
  const title = element("summary", {}, element("span", { class: `verb ${verb}` }, verb.toUpperCase()),
    element("code", {}, path), element("span", { class: "title" }, ...inline(operation.summary)));
  const box = element("details", { class: "operation", id: operation.operationId }, title);
  box.addEventListener("toggle", () => {
    if (box.children.length > 1) return;
    box.append(prose(operation.description), form(api, path, verb, operation),
      later("Answers", () => answersOf(api, operation)));
  });
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
  operations.append(prose(api.info.description));
  for (const tag of api.tags) {
    operations.append(element("h2", {}, tag.name), prose(tag.description));
    for (const [path, verbs] of Object.entries(api.paths))
      for (const [verb, operation] of Object.entries(verbs))
        if (operation.tags.includes(tag.name)) operations.append(section(api, path, verb, operation));
  }
  state.remove();
  const wanted = location.hash && document.getElementById(location.hash.slice(1));
  if (wanted) {
    wanted.open = true;
    wanted.scrollIntoView();
  }
};

main().catch((error) => { document.getElementById("state").textContent = String(error); });
