// The traffic chart: two lines over the last 15 minutes, a 24-hour axis, colours from the style sheet (taken again when the theme
// changes), and a vertical mark where a configuration took effect.
import { effect, signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { state, traffic } from "../state/live";
import { clock } from "../state/theme";

/** The second under the pointer, if any. */
export const pointed = signal<number | null>(null);

function colour(token: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(${token})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

const two = (n: number) => String(n).padStart(2, "0");
const label = (at: number) => {
  const date = new Date(at * 1000);
  return clock.peek() === "utc" ? `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}` : `${two(date.getHours())}:${two(date.getMinutes())}`;
};

function data(): uPlot.AlignedData {
  const samples = traffic.value;
  // Seconds in which the proxy could not be asked are gaps, not zeros.
  return [
    samples.map((sample) => sample.at),
    samples.map((sample) => (sample.known ? sample.requests - sample.refused : null)),
    samples.map((sample) => (sample.known ? sample.refused : null)),
  ];
}

export function Traffic() {
  const ref = useRef<HTMLElement>(null);
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    let plot: uPlot | null = null;
    const make = () => {
      plot?.destroy();
      const axis = { stroke: colour("--text-3"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px Inter" };
      const mark = colour("--accent");
      const marks = (u: uPlot) => {
        const committed = state.peek()?.configuration?.at;
        const at = committed ? new Date(committed).getTime() / 1000 : 0;
        if (at < (u.scales["x"]?.min ?? Infinity) || at > (u.scales["x"]?.max ?? 0)) return;
        const x = Math.round(u.valToPos(at, "x", true));
        u.ctx.save();
        u.ctx.strokeStyle = mark;
        u.ctx.setLineDash([4, 4]);
        u.ctx.beginPath();
        u.ctx.moveTo(x, u.bbox.top);
        u.ctx.lineTo(x, u.bbox.top + u.bbox.height);
        u.ctx.stroke();
        u.ctx.restore();
      };
      plot = new uPlot({
        width: element.clientWidth,
        height: element.clientHeight,
        legend: { show: false },
        cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
        scales: { y: { range: (_, __, most) => [0, Math.max(5, most * 1.1)] } },
        axes: [{ ...axis, size: 30, space: 80, values: (_, at) => at.map(label) }, { ...axis, size: 44 }],
        series: [
          {},
          { label: "Allowed", stroke: colour("--c1"), width: 1.5, points: { show: false } },
          { label: "Refused", stroke: colour("--c2"), width: 1.5, points: { show: false }, fill: colour("--c2-soft") },
        ],
        hooks: { draw: [marks], setCursor: [(u) => (pointed.value = u.cursor.idx ?? null)] },
      }, data(), element);
    };
    make();
    const resized = new ResizeObserver(() => plot?.setSize({ width: element.clientWidth, height: element.clientHeight }));
    resized.observe(element);
    const themed = new MutationObserver(make);
    themed.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const system = matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", make);
    const follow = effect(() => plot?.setData(data()));
    return () => {
      follow();
      resized.disconnect();
      themed.disconnect();
      system.removeEventListener("change", make);
      plot?.destroy();
    };
  }, []);
  return <figure class="chart" ref={ref} role="img" aria-label="Requests a second over the last 15 minutes, allowed and refused" />;
}
