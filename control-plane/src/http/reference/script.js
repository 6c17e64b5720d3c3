"use strict";

const at = (id) => document.getElementById(id);

/** An element with text or elements inside; text is never read as HTML. */
function make(name, attributes = {}, ...inside) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...inside.filter((one) => one !== undefined && one !== null));
  return element;
}

/** Text whose words between backticks are code. */
function prose(text) {
  return (text ?? "").split("`").map((part, n) => n % 2 ? make("code", {}, part) : part);
}

/** What a schema says, with references followed; `seen` ends circles. */
function resolve(api, schema) {
  const name = schema?.$ref?.split("/").pop();
  return name ? [name, api.components.schemas[name]] : [undefined, schema];
}

function kindOf(api, schema) {
  if (!schema) return "anything";
  const [name, real] = resolve(api, schema);
  if (name) return name;
  const either = real.oneOf ?? real.anyOf;
  if (either) return either.map((one) => kindOf(api, one)).join(" or ");
  if (real.allOf) return real.allOf.map((one) => kindOf(api, one)).join(" and ");
  if (real.enum) return real.enum.map((word) => JSON.stringify(word)).join(", ");
  const types = [real.type].flat().filter(Boolean);
  return types.map((type) => {
    if (type === "array") return `list of ${kindOf(api, real.items)}`;
    return real.format && type !== "null" ? `${type} (${real.format})` : type;
  }).join(" or ") || "anything";
}

function limits(schema) {
  const words = [["minimum", "at least"], ["maximum", "at most"], ["minLength", "at least", "characters"],
    ["maxLength", "at most", "characters"], ["maxItems", "at most", "items"]];
  return words.filter(([key]) => schema?.[key] !== undefined)
    .map(([key, word, unit]) => [word, schema[key], unit].filter((one) => one !== undefined).join(" ")).join(", ");
}

/** The fields of an object, with those of what it is made of. */
function fieldsOf(api, schema, seen = []) {
  const [name, real] = resolve(api, schema ?? {});
  if (!real || seen.includes(name)) return [];
  const inner = name ? [...seen, name] : seen;
  const parts = [...(real.allOf ?? []), ...(real.oneOf ?? []), ...(real.anyOf ?? [])];
  const own = Object.entries(real.properties ?? {}).map(([field, of]) =>
    ({ field, of, needed: (real.required ?? []).includes(field) }));
  return [...own, ...parts.flatMap((part) => fieldsOf(api, part, inner))];
}

function row(name, kind, text, needed) {
  const note = needed ? make("span", { class: "quiet" }, " needed") : undefined;
  return make("tr", {}, make("td", {}, make("code", {}, name), note), make("td", {}, kind), make("td", {}, ...prose(text)));
}

function table(rows) {
  return make("table", {}, make("tbody", {}, ...rows));
}

function schemaTable(api, schema) {
  const fields = fieldsOf(api, schema);
  if (fields.length === 0) return make("p", {}, kindOf(api, schema));
  return table(fields.map(({ field, of, needed }) => {
    const [, real] = resolve(api, of);
    const text = [of.description ?? real?.description, limits(real)].filter(Boolean).join(" – ");
    return row(field, kindOf(api, of), text, needed);
  }));
}

/** What a body looks like; hidden until somebody wants to see it. */
function exampleOf(value) {
  if (value === undefined) return [];
  return [make("details", {}, make("summary", {}, "Example"), make("pre", {}, JSON.stringify(value, null, 2)))];
}

function body(api, content) {
  return Object.entries(content ?? {}).flatMap(([media, { schema, example }]) =>
    [make("p", { class: "quiet" }, media), schemaTable(api, schema), ...exampleOf(example)]);
}

function parameters(api, operation) {
  const given = operation.parameters ?? [];
  if (given.length === 0) return [];
  return [make("h4", {}, "Parameters"), table(given.map((one) => {
    const text = [one.description, limits(one.schema)].filter(Boolean).join(" – ");
    return row(one.name, `${one.in}: ${kindOf(api, one.schema)}`, text, one.required);
  }))];
}

function answers(api, operation) {
  const found = Object.entries(operation.responses).map(([status, answer]) => {
    const title = `${status} ${answer.description ?? ""}`;
    return [make("p", {}, make("strong", {}, ...prose(title))), ...body(api, answer.content)];
  });
  return [make("h4", {}, "Answers"), ...found.flat()];
}

function example(method, path, operation) {
  const key = operation.security ? ` -H "Authorization: Bearer $KEY"` : "";
  const json = operation.requestBody?.content?.["application/json"];
  const sends = json ? ` --json '${JSON.stringify(json.example)}'` : "";
  const how = method === "get" ? "" : ` -X ${method.toUpperCase()}`;
  return make("pre", {}, `curl${how}${key} ${location.origin}${path}${sends}`);
}

function operationElement(api, path, method, operation) {
  const [first, ...rest] = (operation.description ?? operation.summary ?? "").split("\n");
  const title = operation.summary ?? first;
  const content = make("div", {});
  const details = make("details", { id: operation.operationId, "data-text":
    [method, path, title, operation.operationId, ...(operation.tags ?? [])].join(" ").toLowerCase() },
  make("summary", {}, make("span", { class: "method" }, method.toUpperCase()), make("code", {}, path),
    make("span", { class: "quiet" }, ...prose(title))), content);
  details.addEventListener("toggle", () => {
    if (!details.open || content.hasChildNodes()) return;
    const text = operation.summary ? operation.description : rest.join("\n");
    if (text?.trim()) content.append(make("p", {}, ...prose(text)));
    content.append(example(method, path, operation), ...parameters(api, operation));
    if (operation.requestBody) {
      content.append(make("h4", {}, "Body"), ...body(api, operation.requestBody.content));
    }
    content.append(...answers(api, operation));
  });
  return details;
}

function show(api) {
  at("about").append(...prose(api.info.description));
  const operations = Object.entries(api.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]) => ({ path, method, operation })));
  for (const tag of api.tags) {
    const own = operations.filter(({ operation }) => operation.tags?.includes(tag.name));
    if (own.length === 0) continue;
    at("contents").append(make("a", { href: `#tag-${tag.name}` }, tag.name));
    at("reference").append(make("section", {}, make("h2", { id: `tag-${tag.name}` }, tag.name),
      make("p", { class: "quiet" }, ...prose(tag.description)),
      ...own.map(({ path, method, operation }) => operationElement(api, path, method, operation))));
  }
  find();
  const wanted = location.hash && at(location.hash.slice(1));
  if (wanted) {
    if (wanted.tagName === "DETAILS") wanted.open = true;
    wanted.scrollIntoView();
  }
}

function find() {
  const words = at("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  let found = 0;
  for (const section of document.querySelectorAll("section")) {
    const all = [...section.querySelectorAll("details[data-text]")];
    for (const details of all) {
      details.hidden = !words.every((word) => details.dataset.text.includes(word));
      found += details.hidden ? 0 : 1;
    }
    section.hidden = all.every((details) => details.hidden);
  }
  at("found").textContent = found === 1 ? "1 route" : `${found} routes`;
}

at("find").addEventListener("input", find);

fetch("/api/v1/openapi.json")
  .then((answer) => answer.ok ? answer.json() : Promise.reject(new Error(`status ${answer.status}`)))
  .then(show)
  .catch((error) => {
    at("trouble").textContent = `The description could not be read: ${error.message}. Load the page again.`;
    at("trouble").hidden = false;
  });
