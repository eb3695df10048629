// Cuts rows out of a table that is generated into a lesson: what stands there is
// judged with the lesson.

const cells = (line) => line.split('|').slice(1, -1).map((cell) => cell.trim());
const name = (cell) => cell.replaceAll('`', '');
const html = (cell) => cell.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/`([^`]*)`/g, '<code>$1</code>');

// The rows that begin with one of these names, in the order of the table.
export function cutTable(page, generated, names) {
  const table = page.match(new RegExp(`<!-- generated: ${generated} -->\\s*([^]*?)<!-- end -->`))?.[1];
  if (!table) throw new Error(`the lesson has no table: ${generated}`);
  const [head, , ...rows] = table.trim().split('\n').map(cells);
  for (const one of names) {
    if (!rows.some(([first]) => name(first) === one)) throw new Error(`the table "${generated}" has no row: ${one}`);
  }
  const shown = rows.filter(([first]) => names.includes(name(first)));
  const line = ([first, ...rest]) => `<tr><th scope="row">${html(first)}</th>${rest.map((cell) => `<td>${html(cell)}</td>`).join('')}</tr>`;
  const tops = head.map((cell) => `<th scope="col">${html(cell) || 'what'}</th>`);
  return `<table class="cut"><thead><tr>${tops.join('')}</tr></thead><tbody>${shown.map(line).join('')}</tbody></table>`;
}
