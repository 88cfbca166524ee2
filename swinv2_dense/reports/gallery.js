// Pictures with filters; a click enlarges one.

function galleryBlock(block) {
  const [step, cards] = [24, element('div', { class: 'cards' })];
  const more = element('button', { type: 'button', class: 'more' }, 'Show more');
  const count = element('output');
  const controls = element('div', { class: 'controls' });
  const choices = {};
  let limit = step;
  for (const [key, label] of [['classes', 'Class'], ['errors', 'Error']]) {
    if (!block[key].length) continue;
    const select = element('select', { name: key }, element('option', { value: '' }, 'all'),
      ...block[key].map((name) => element('option', { value: name }, name)));
    choices[key] = select;
    controls.append(element('label', {}, label, select));
  }
  const search = element('input', { type: 'search', name: 'file' });
  controls.append(element('label', {}, 'File name contains', search));
  let threshold = null;
  if (block.threshold !== null) {
    threshold = element('input', { type: 'range', name: 'threshold', min: '0', max: '1', step: '0.01' });
    threshold.value = String(block.threshold);
    const shown = element('span');
    const update = () => { shown.textContent = `Objects with scores from ${Number(threshold.value).toFixed(2)}`; };
    threshold.addEventListener('input', update);
    update();
    controls.append(element('label', {}, shown, threshold));
  }
  controls.append(count);

  function matches(item) {
    const [name, error] = [choices.classes?.value, choices.errors?.value];
    if (!item.caption.toLowerCase().includes(search.value.toLowerCase())) return false;
    if (!name && !error) return true;
    return item.findings.some(([of, kind]) => (!name || of === name) && (!error || kind === error));
  }
  function update() {
    const found = block.items.filter(matches);
    count.textContent = `${found.length} of ${block.items.length} pictures`;
    cards.replaceChildren(...found.slice(0, limit).map((item) => card(item, threshold)));
    more.hidden = found.length <= limit;
  }
  controls.addEventListener('input', () => { limit = step; update(); });
  more.addEventListener('click', () => { limit += step; update(); });
  update();
  return element('div', {}, controls, cards, more);
}

function card(item, threshold) {
  const button = element('button', { type: 'button', 'aria-label': `Enlarge ${item.caption}` }, panels(item, threshold));
  button.addEventListener('click', () => enlarge(item, threshold));
  return element('article', { class: 'card' }, button, ...description(item));
}

function description(item) {
  return [element('div', { class: 'caption' }, item.caption),
    element('ul', { class: 'lines' }, ...item.lines.map((line) => element('li', {}, line)))];
}

function panels(item, threshold) {
  const least = threshold ? Number(threshold.value) : 0;
  const node = element('div', { class: 'panels' }, ...item.panels.map((panel) => element('figure', { class: 'panel' },
    element('figcaption', {}, panel.title), picture(item, panel, least))));
  node.style.setProperty('--panels', item.panels.length);
  return node;
}

function picture(item, panel, least) {
  const image = element('img', { src: panel.picture ?? item.picture, alt: item.caption, loading: 'lazy' });
  image.style.aspectRatio = `${item.width} / ${item.height}`;
  const node = element('div', { class: 'picture' }, image);
  if (panel.overlay) node.append(element('img', { class: 'overlay', src: panel.overlay, alt: '' }));
  if (panel.shapes) {
    const shapes = panel.shapes.filter((shape) => shape.score === null || shape.score >= least);
    node.append(drawn('svg', { viewBox: `0 0 ${item.width} ${item.height}`, preserveAspectRatio: 'none' },
      ...shapes.map(outline)));
  }
  return node;
}

function outline(shape) {
  const style = { class: shape.wrong ? 'shape wrong' : 'shape', stroke: shape.color, fill: shape.color };
  const [left, top, width, height] = shape.box;
  const group = drawn('g', {}, drawn('rect', { ...style, x: left, y: top, width, height,
    'fill-opacity': shape.polygons.length ? 0 : 0.12 }));
  for (const polygon of shape.polygons) {
    group.append(drawn('polygon', { ...style, 'stroke-width': 1, points: polygon.join(' ') }));
  }
  return withTip(group, shape.text);
}

function enlarge(item, threshold) {
  hideTip();
  const viewer = document.getElementById('viewer');
  const close = element('button', { type: 'button', class: 'close' }, 'Close');
  close.addEventListener('click', () => viewer.close());
  viewer.replaceChildren(close, panels(item, threshold), ...description(item));
  viewer.showModal();
}

document.getElementById('viewer').addEventListener('click', (event) => {
  if (event.target === event.currentTarget) event.currentTarget.close();
});
document.getElementById('viewer').addEventListener('close', () => {
  document.body.append(document.getElementById('tip'));
  hideTip();
});
