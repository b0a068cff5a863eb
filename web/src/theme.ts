// Light or dark: what the system asks for, unless the user has chosen.

const KEY = "sluice-theme";

/** Apply the theme, now and when the system's changes. */
export function followTheme(): void {
  const media = matchMedia("(prefers-color-scheme: dark)");
  const apply = (): void => {
    document.documentElement.dataset.theme = chosen() ?? (media.matches ? "dark" : "light");
  };
  media.addEventListener("change", apply);
  apply();
}

/** Change to the other theme, and remember it. */
export function switchTheme(): void {
  const other = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = other;
  try {
    localStorage.setItem(KEY, other);
  } catch {
    // Storage is off: the choice holds for this page.
  }
}

function chosen(): string | null {
  try {
    const text = localStorage.getItem(KEY);
    return text === "dark" || text === "light" ? text : null;
  } catch {
    return null;
  }
}
