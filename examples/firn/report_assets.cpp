// SPDX-License-Identifier: Apache-2.0
// The style and the script of the report page.
#include "report_assets.h"

namespace firn::tool {

const char* const kReportStyle = R"css(
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#17202b;--soft:#5a6675;--line:#d9dee5;
--int8:#0b7285;--int8-bg:#d8f1f5;--fp32:#8a4b00;--fp32-bg:#fdebcf;--bar:#cfe3fb;--bars:#2f6fb7;
--in:#e3f1e7;--edge:#2b8a3e;--bad:#b3261e;--bad-bg:#fde7e5;--focus:#1a56db}
@media(prefers-color-scheme:dark){:root{--bg:#11151a;--card:#1a2028;--ink:#e6eaf0;--soft:#9aa7b6;
--line:#303a46;--int8:#7bd8e8;--int8-bg:#113a42;--fp32:#ffc678;--fp32-bg:#47310f;--bar:#24405f;
--bars:#7fb3ee;--in:#1d3526;--edge:#69db7c;--bad:#ff9b92;--bad-bg:#4a1d1a;--focus:#8ab4ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif;
-webkit-text-size-adjust:100%}
main,header,footer{max-width:1180px;margin:0 auto;padding:0 20px}
header{padding-top:28px}
h1{font-size:1.6rem;line-height:1.25;margin:0;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:0;display:inline}
p{margin:.4em 0}
.soft,footer{color:var(--soft)}
code,.m{font-family:ui-monospace,SFMono-Regular,Menlo,monospace;font-size:.92em;
overflow-wrap:anywhere}
nav{position:sticky;top:0;z-index:3;background:var(--bg);border-bottom:1px solid var(--line);
margin:14px 0 20px}
nav ul{max-width:1180px;margin:0 auto;padding:0 20px;list-style:none;display:flex;gap:4px;
overflow-x:auto}
nav a{display:block;padding:10px 10px;color:var(--ink);text-decoration:none;white-space:nowrap}
nav a:hover{text-decoration:underline}
:focus-visible{outline:2px solid var(--focus);outline-offset:2px;border-radius:4px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:12px;margin:0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}
.tile dt{color:var(--soft);font-size:.88rem}
.tile dd{margin:0}
.tile .big{font-size:1.45rem;font-weight:650;line-height:1.3;font-variant-numeric:tabular-nums}
section,details.s{scroll-margin-top:58px;background:var(--card);border:1px solid var(--line);
border-radius:10px;margin:16px 0;padding:16px}
section>h2{display:block;margin-bottom:8px}
details.s>summary{cursor:pointer}
.warn{border-color:var(--bad);background:var(--bad-bg)}
.warn ul{margin:.3em 0 0;padding-left:1.2em;overflow-wrap:anywhere}
.tools{display:flex;flex-wrap:wrap;gap:8px 16px;align-items:center;margin:12px 0}
.tools[hidden]{display:none}
input[type=search],select{font:inherit;color:inherit;background:var(--bg);padding:7px 10px;
border:1px solid var(--line);border-radius:7px;min-width:0;max-width:100%}
.box{overflow:auto;max-height:75vh;border:1px solid var(--line);border-radius:8px;margin-top:10px}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);padding:8px 10px}
th,td{padding:7px 10px;text-align:left;vertical-align:top;border-top:1px solid var(--line)}
thead th{position:sticky;top:0;z-index:2;background:var(--card);border-top:0;
box-shadow:inset 0 -1px var(--line);white-space:nowrap;font-weight:600}
th.n,td.n{text-align:right;white-space:nowrap}
tbody th{font-weight:500}
th button{font:inherit;font-weight:600;color:inherit;background:none;border:0;padding:4px;margin:-4px;
cursor:pointer}
th button::after{content:"\2195";color:var(--soft);padding-left:4px}
th[aria-sort=ascending] button::after{content:"\2191";color:var(--ink)}
th[aria-sort=descending] button::after{content:"\2193";color:var(--ink)}
td.bar{min-width:7em;background:linear-gradient(var(--bar),var(--bar)) no-repeat 0 50%/var(--p) 70%}
.name{overflow-wrap:anywhere;min-width:13em}
.name small,.t small{display:block;color:var(--soft);font-weight:400;font-size:.84rem}
.tag{display:inline-block;border-radius:5px;padding:0 7px;font-size:.86rem}
.int8,.int16{color:var(--int8);background:var(--int8-bg)}.fp32{color:var(--fp32);background:var(--fp32-bg)}
.low{color:var(--bad);font-weight:650}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,250px),1fr));gap:12px;
list-style:none;margin:12px 0 0;padding:0}
.t{border:1px solid var(--line);border-radius:8px;padding:10px 12px;min-width:0;
content-visibility:auto;contain-intrinsic-size:auto 190px}
.t[hidden]{display:none}
.t b{display:block;overflow-wrap:anywhere;font-weight:600}
.t svg{display:block;width:100%;height:64px;margin:8px 0 2px;border-bottom:1px solid var(--soft)}
.ends{display:flex;justify-content:space-between;gap:8px;font-size:.84rem;color:var(--soft);
font-variant-numeric:tabular-nums}
.in{fill:var(--in)}.h{fill:var(--bars)}.z{stroke:var(--bars);fill:none;stroke-width:2}
.e{stroke:var(--edge);fill:none;stroke-width:2}
svg path{vector-effect:non-scaling-stroke}
.key{display:inline-block;width:.9em;height:.9em;border-radius:2px;vertical-align:-.08em}
footer{padding-bottom:32px}
@media(max-width:700px){
main,header,footer,nav ul{padding-left:12px;padding-right:12px}
section,details.s{padding:12px}
.tiles{grid-template-columns:1fr 1fr;gap:8px}.tile{padding:10px 12px}.tile .big{font-size:1.12rem}
.cards .box,.box.cards{max-height:none;border:0}
.cards table,.cards tbody{display:block}
.cards caption{display:block;padding:4px 0}
.cards thead{position:absolute;clip-path:inset(50%);width:1px;height:1px;overflow:hidden}
.cards tr{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:2px 10px;padding:9px 0;
border-top:1px solid var(--line)}
.cards th,.cards td{display:block;border:0;padding:0;text-align:left;white-space:normal}
.cards tbody th{grid-column:1/-1}
.cards tr[hidden],.cards td.i{display:none}
.cards td[data-l]::before{content:attr(data-l);display:block;color:var(--soft);font-size:.8rem}
.cards td.bar{background-position:0 100%;background-size:var(--p) 4px;padding-bottom:6px}
}
@media print{nav,.tools{display:none}.box{max-height:none}}
)css";

const char* const kReportScript = R"js(
for (const tools of document.querySelectorAll('.tools')) {
  tools.hidden = false;
  const list = document.getElementById(tools.dataset.for);
  const items = [...list.children];
  const keys = (item, key) => {
    const v = (isNaN(key) ? item : item.children[key]).dataset[isNaN(key) ? key : 'v'];
    return v === undefined ? NaN : +v;
  };
  const heads = [...(list.closest('table')?.tHead.rows[0].cells ?? [])];
  for (const head of heads.filter((each) => each.dataset.first)) {
    const button = document.createElement('button');
    button.append(...head.childNodes);
    head.append(button);
  }
  const select = tools.querySelector('select');
  const order = (key, sign) => {
    const sorted = key === '' ? items : [...items].sort((a, b) => {
      const x = keys(a, key), y = keys(b, key);
      return isNaN(x) || isNaN(y) ? isNaN(x) - isNaN(y) : sign * (x - y);
    });
    list.append(...sorted);
    heads.forEach((head, i) => {
      if (String(i) === key) head.ariaSort = sign > 0 ? 'ascending' : 'descending';
      else head.removeAttribute('aria-sort');
    });
  };
  select?.addEventListener('change', () => {
    const [key, sign] = select.value.split(' ');
    order(key, sign === '-' ? -1 : 1);
  });
  heads.forEach((head, i) => head.querySelector('button')?.addEventListener('click', () => {
    const sign = head.ariaSort === 'ascending' ? -1 : head.ariaSort ? 1 : +head.dataset.first;
    order(String(i), sign);
    if (select) select.value = `${i} ${sign < 0 ? '-' : '+'}`;
  }));
  const count = tools.querySelector('output');
  tools.querySelector('input')?.addEventListener('input', (event) => {
    const words = event.target.value.toLowerCase().split(/\s+/);
    let shown = 0;
    for (const item of items) {
      const text = item.textContent.toLowerCase();
      item.hidden = !words.every((word) => text.includes(word));
      shown += !item.hidden;
    }
    count.textContent = shown < items.length ? `${shown} of ${items.length}` : '';
  });
}
)js";

}  // namespace firn::tool
