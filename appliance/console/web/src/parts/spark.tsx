// A line without axes.
export function Spark({ values, bad }: { values: number[]; bad?: boolean }) {
  const most = Math.max(1, ...values);
  const steps = Math.max(1, values.length - 1);
  const path = values.map((value, i) => `${i ? "L" : "M"}${((i / steps) * 100).toFixed(1)} ${(29 - (value / most) * 27).toFixed(1)}`).join("");
  return (
    <svg class={bad ? "spark bad" : "spark"} viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden="true">
      {path && <><path class="a" d={`${path}L100 30L0 30Z`} /><path class="l" d={path} /></>}
    </svg>
  );
}
