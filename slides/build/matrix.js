// The matrix of attacks and steps, as two tables side by side.

// Whether the data match the attacks and steps that exist today.
export function checkMatrix(matrix, attacks, steps) {
  const columns = ['none', ...steps];
  const differ = (what, are, should) => {
    const missing = should.filter((one) => !are.includes(one));
    const gone = are.filter((one) => !should.includes(one));
    if (missing.length || gone.length) {
      throw new Error(`matrix.json is stale: ${what} it lacks: ${missing.join(', ') || 'none'}; `
        + `${what} that are gone: ${gone.join(', ') || 'none'}`);
    }
  };
  differ('steps', matrix.columns, columns);
  differ('attacks', matrix.attacks.map(({ attack }) => attack), attacks);
  for (const { attack, cells } of matrix.attacks) differ(`cells of ${attack}`, Object.keys(cells), columns);
}

// works, stopped, stopped with OPTION, nothing to attack
function cell(attack, column, { is }) {
  const kind = is.startsWith('stopped with') ? 'option' : is.split(' ')[0];
  const where = column === 'none' ? 'without a container' : `step ${column}`;
  return `<td class="${kind}"><span aria-hidden="true"></span><span class="unseen">${where}: ${is}</span></td>`;
}

// The rows that a step from `from` to `to` stops; what the runtime stops comes first.
export function matrixTables({ columns, attacks: all }, from = '00', to = '99') {
  const stopper = ({ stopped_by: by }) => by.match(/\d\d/)?.[0] ?? '00';
  const attacks = all.filter((row) => stopper(row) >= from && stopper(row) <= to);
  if (!attacks.length) throw new Error(`no attack is stopped from ${from} to ${to}`);
  const half = Math.ceil(attacks.length / 2);
  const head = columns.map((column) => `<th scope="col">${column === 'none' ? '–' : column}</th>`).join('');
  return [attacks.slice(0, half), attacks.slice(half)].map((some) => {
    const rows = some.map(({ attack, cells }) => `<tr><th scope="row">${attack}</th>${
      columns.map((column) => cell(attack, column, cells[column])).join('')}</tr>`);
    return `<table><thead><tr><th scope="col">attack</th>${head}</tr></thead><tbody>${rows.join('')}</tbody></table>`;
  }).join('');
}
