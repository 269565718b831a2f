// Controls for a model's options, made from its typed schema.

// Ranges that suit a page where the schema has none.
const RANGES = { strength: [0, 1], num_inference_steps: [1, 12], guidance_scale: [0, 8] };

const words = (name) => name.replaceAll("_", " ").replace(/^(num|enable) /, "");

/** Build the controls; return the values that differ from the model's own defaults. */
export function build(form, offer, changed) {
  const values = { ...offer.start };
  form.replaceChildren(...offer.options.map((option) => control(option, values, changed)));
  return values;
}

function control(option, values, changed) {
  const label = document.createElement("label"), name = document.createElement("span"), shown = document.createElement("output");
  label.className = "control";
  name.textContent = words(option.name);
  const now = values[option.name] ?? option.default;
  const input = field(option, now);
  input.name = option.name;
  const show = () => { shown.textContent = input.type === "range" ? input.value : ""; };
  input.addEventListener("input", () => {
    const value = read(option, input);
    if (value === undefined) delete values[option.name]; else values[option.name] = value;
    show();
    changed();
  });
  show();
  label.append(name, option.kind === "switch" ? input : shown);
  if (option.kind !== "switch") label.append(input);
  if (option.help) { const help = document.createElement("small"); help.textContent = option.help; label.append(help); }
  return label;
}

function field(option, now) {
  if (option.kind === "choice") {
    const select = document.createElement("select");
    for (const choice of option.choices) select.append(new Option(String(choice).replaceAll("_", " "), choice, false, choice === now));
    return select;
  }
  const input = document.createElement("input");
  const [least, most] = [option.ge ?? RANGES[option.name]?.[0], option.le ?? RANGES[option.name]?.[1]];
  if (option.kind === "switch") { input.type = "checkbox"; input.checked = Boolean(now); return input; }
  if (option.kind === "text") { input.type = "text"; input.value = now ?? ""; return input; }
  input.type = least !== undefined && most !== undefined ? "range" : "number";
  if (least !== undefined) input.min = least;
  if (most !== undefined) input.max = most;
  input.step = option.kind === "integer" ? 1 : 0.05;
  input.value = now ?? "";
  if (option.optional) input.placeholder = "random";
  return input;
}

function read(option, input) {
  if (option.kind === "switch") return input.checked;
  if (option.kind === "choice") return option.choices.find((choice) => String(choice) === input.value);
  if (option.kind === "text") return input.value;
  return input.value === "" || Number.isNaN(input.valueAsNumber) ? undefined : input.valueAsNumber;
}
