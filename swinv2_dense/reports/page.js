// Builds the page from its data.

const BLOCKS = {
  numbers: numbersBlock, table: tableBlock, bars: barsBlock, matrix: matrixBlock, lines: linesBlock,
  gallery: galleryBlock,
};

(function build() {
  const data = JSON.parse(document.getElementById('data').textContent);
  const page = document.getElementById('page');
  const facts = element('dl', { class: 'facts' });
  for (const [name, value] of data.facts) facts.append(element('dt', {}, name), element('dd', {}, value));
  const links = element('nav', { 'aria-label': 'Contents' });
  page.append(element('h1', {}, data.title), facts, links);
  data.blocks.forEach((block, index) => {
    links.append(element('a', { href: `#part-${index}` }, block.title));
    const note = block.note ? [element('p', { class: 'note' }, block.note)] : [];
    page.append(element('section', { id: `part-${index}` }, element('h2', {}, block.title), ...note,
      BLOCKS[block.kind](block)));
  });
}());
