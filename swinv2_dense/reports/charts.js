// Charts and tables as DOM elements. Text from data only ever becomes text nodes.
'use strict';

// Okabe and Ito's colors, which people with any color vision can tell apart; then dashes.
const COLORS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000'];
const DASHES = ['', '7 3', '2 3', '9 3 2 3'];

function element(tag, settings = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(settings)) {
    if (key === 'class') node.className = value;
    else if (key in node && typeof value !== 'string') node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function drawn(tag, settings = {}, ...children) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [key, value] of Object.entries(settings)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function number(value, digits = 3) {
  if (value === null || value === undefined) return '–';
  return Number.isInteger(value) && digits === 0 ? value.toLocaleString('en') : value.toFixed(digits);
}

function showTip(event, text) {
  const tip = document.getElementById('tip');
  const dialog = document.getElementById('viewer');
  (dialog.open ? dialog : document.body).append(tip);  // a dialog covers everything outside of it
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = Math.min(event.clientX + 14, window.innerWidth - box.width - 6);
  const top = event.clientY + 18 + box.height > window.innerHeight
    ? event.clientY - box.height - 10 : event.clientY + 18;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, top)}px`;
}

function hideTip() {
  document.getElementById('tip').hidden = true;
}

function withTip(node, text) {
  node.addEventListener('pointermove', (event) => showTip(event, text));
  node.addEventListener('pointerleave', hideTip);
  return node;
}

function numbersBlock(block) {
  const cards = block.items.map((item) => element('div', {},
    element('b', {}, number(item.value, item.digits)), element('span', {}, item.name)));
  return element('div', { class: 'numbers' }, ...cards);
}

function tableBlock(block) {
  const body = element('tbody');
  const heads = block.columns.map((column, index) => {
    const button = element('button', { type: 'button' }, column.name);
    const head = element('th', { scope: 'col', class: column.kind === 'text' ? 'text' : '' }, button);
    button.addEventListener('click', () => {
      const down = head.getAttribute('aria-sort') !== 'descending';
      heads.forEach((other) => other.removeAttribute('aria-sort'));
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      fill(sorted(block.rows, index, down));
    });
    return head;
  });
  function fill(rows) {
    body.replaceChildren(...rows.map((row) => element('tr', {}, ...row.map((value, index) => {
      const column = block.columns[index];
      if (column.kind === 'text') return element('td', { class: 'text' }, value ?? '–');
      const cell = element('td', {}, number(value, column.digits));
      if (column.kind === 'bar' && value !== null) {
        cell.className = 'bar';
        cell.style.setProperty('--part', `${Math.max(0, Math.min(1, value)) * 100}%`);
      }
      return cell;
    }))));
  }
  fill(block.rows);
  const table = element('table', {}, element('thead', {}, element('tr', {}, ...heads)), body);
  return element('div', { class: 'scroll' }, table);
}

function sorted(rows, index, down) {
  const sign = down ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [left, right] = [a[index], b[index]];
    if (left === null || right === null) return (left === null) - (right === null);
    if (typeof left === 'string') return sign * left.localeCompare(right);
    return sign * (left - right);
  });
}

function barsBlock(block) {
  const most = Math.max(...block.items.map((item) => item.value), 1e-9);
  const parts = block.items.flatMap((item) => {
    const bar = element('i');
    bar.style.width = `${(Math.max(0, item.value) / most) * 100}%`;
    const note = item.note ? [element('small', {}, item.note)] : [];
    return [element('span', {}, item.name), bar, element('span', {}, number(item.value, block.digits)), ...note];
  });
  return element('div', { class: 'bars' }, ...parts);
}

function matrixBlock(block) {
  const written = block.columns.length <= 25;
  const head = element('tr', {}, element('th', {}, ''), ...block.columns.map((name) =>
    element('th', { scope: 'col' }, element('span', {}, name))));
  const rows = block.rows.map((name, row) => {
    const counts = block.counts[row];
    const total = counts.reduce((sum, count) => sum + count, 0);
    const cells = counts.map((count, column) => {
      const part = total ? count / total : 0;
      const cell = element('td', {}, written && count ? part.toFixed(2).replace(/^0/, '') : '');
      cell.style.background = `rgb(${[255, 255, 255].map((top, i) =>
        Math.round(top + ([0, 90, 150][i] - top) * part)).join(' ')})`;
      if (part > 0.5) cell.style.color = '#fff';
      return withTip(cell, `${block.row_title}: ${name}\n${block.column_title}: ${block.columns[column]}\n`
        + `${number(count, 0)} of ${number(total, 0)} (${(100 * part).toFixed(1)} %)`);
    });
    return element('tr', {}, element('th', { scope: 'row' }, name), ...cells);
  });
  const table = element('table', { class: 'matrix' }, element('thead', {}, head), element('tbody', {}, ...rows));
  return element('div', { class: 'scroll' }, table);
}

function linesBlock(block) {
  const [width, height, left, right, top, bottom] = [640, 360, 46, 14, 12, 40];
  const x = (value) => left + (value - block.x.min) / (block.x.max - block.x.min) * (width - left - right);
  const y = (value) => height - bottom
    - (value - block.y.min) / (block.y.max - block.y.min) * (height - top - bottom);
  const svg = drawn('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': block.title });
  for (let step = 0; step <= 5; step += 1) {
    const [across, up] = [block.x, block.y].map((axis) => axis.min + (axis.max - axis.min) * step / 5);
    svg.append(
      drawn('line', { class: 'grid', x1: left, x2: width - right, y1: y(up), y2: y(up) }),
      drawn('text', { x: left - 6, y: y(up) + 4, 'text-anchor': 'end' }, up.toPrecision(2).replace(/\.?0+$/, '')),
      drawn('text', { x: x(across), y: height - bottom + 18, 'text-anchor': 'middle' },
        across.toPrecision(2).replace(/\.?0+$/, '')));
  }
  svg.append(
    drawn('text', { x: (left + width - right) / 2, y: height - 4, 'text-anchor': 'middle' }, block.x.name),
    drawn('text', { x: 12, y: (top + height - bottom) / 2, 'text-anchor': 'middle',
      transform: `rotate(-90 12 ${(top + height - bottom) / 2})` }, block.y.name));
  const guide = drawn('line', { class: 'guide', y1: top, y2: height - bottom, visibility: 'hidden' });
  svg.append(guide);
  const legend = element('div', { class: 'legend' });
  const curves = block.series.map((series, index) => {
    const style = `stroke: ${COLORS[index % COLORS.length]}; stroke-dasharray: ${
      DASHES[Math.floor(index / COLORS.length) % DASHES.length] || 'none'}`;
    const path = series.points.map(([a, b], i) => `${i ? 'L' : 'M'}${x(a).toFixed(1)} ${y(b).toFixed(1)}`);
    const group = drawn('g', {}, drawn('path', { class: 'curve', style, d: path.join('') }));
    if (series.mark) {
      group.append(drawn('circle', { cx: x(series.mark[0]), cy: y(series.mark[1]), r: 4,
        fill: COLORS[index % COLORS.length] }));
    }
    const box = element('input', { type: 'checkbox' });
    box.checked = index < (block.shown ?? 6);
    const update = () => { group.style.display = box.checked ? '' : 'none'; };
    box.addEventListener('change', update);
    update();
    const sample = drawn('svg', { viewBox: '0 0 26 8' },
      drawn('line', { x1: 0, x2: 26, y1: 4, y2: 4, class: 'curve', style }));
    legend.append(element('label', {}, box, sample, series.name));
    svg.append(group);
    return { series, box };
  });
  svg.addEventListener('pointermove', (event) => {
    const frame = svg.getBoundingClientRect();
    const at = block.x.min + ((event.clientX - frame.left) / frame.width * width - left)
      / (width - left - right) * (block.x.max - block.x.min);
    const inside = Math.min(block.x.max, Math.max(block.x.min, at));
    guide.setAttribute('x1', x(inside));
    guide.setAttribute('x2', x(inside));
    guide.setAttribute('visibility', 'visible');
    const lines = curves.filter(({ series, box }) => box.checked && series.points.length).slice(0, 12)
      .map(({ series }) => {
        const near = series.points.reduce((best, point) =>
          Math.abs(point[0] - inside) < Math.abs(best[0] - inside) ? point : best);
        return `${series.name}: ${near[1].toFixed(3)}`;
      });
    showTip(event, [`${block.x.name} ${inside.toFixed(2)}`, ...lines].join('\n'));
  });
  svg.addEventListener('pointerleave', () => { guide.setAttribute('visibility', 'hidden'); hideTip(); });
  return element('div', { class: 'chart' }, svg, legend);
}
