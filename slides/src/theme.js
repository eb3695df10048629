// Light or dark: as `?theme=` says, else as you chose with the key T, else as
// your system likes it. On paper: light.
const KEY = 'container-workshop-theme';

export function chooseTheme() {
  const root = document.documentElement;
  const query = new URLSearchParams(location.search);
  const stored = () => {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage is switched off
    }
  };
  const system = () => (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
  const printed = query.has('print-pdf') ? 'light' : null;
  root.dataset.theme = query.get('theme') ?? printed ?? stored() ?? system();
}

export function toggleTheme() {
  const root = document.documentElement;
  root.dataset.theme = root.dataset.theme === 'dark' ? 'light' : 'dark';
  try {
    localStorage.setItem(KEY, root.dataset.theme);
  } catch {
    // Then it is forgotten with the page.
  }
}
