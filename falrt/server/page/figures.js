// What the stream comes to: the age of what is seen, the rate, the cost.

const KEPT = 120;

export class Figures {
  constructor() { this.reset(); }

  reset() {
    this.ages = [];
    this.at = [];
    this.drops = 0;
    this.inference = null;
    this.seconds = 0;
    this.before = 0;
  }

  /** Note an answer. `age`: ms from taking the frame to showing its picture. */
  add(age, words) {
    const now = performance.now();
    this.ages.push(age);
    this.at.push(now);
    if (this.ages.length > KEPT) { this.ages.shift(); this.at.shift(); }
    this.drops += words.dropped || 0;
    if (words.timing) this.inference = words.timing * 1000;
    // A new connection counts from 0 again.
    if (words.open_seconds < this.seconds) this.before += this.seconds;
    this.seconds = words.open_seconds || 0;
  }

  percentile(share) {
    if (!this.ages.length) return null;
    const sorted = [...this.ages].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  }

  get rate() {
    const now = performance.now(), recent = this.at.filter((at) => at > now - 4000);
    return recent.length < 2 ? 0 : ((recent.length - 1) * 1000) / Math.max(now - recent[0], 1);
  }

  get openSeconds() { return this.before + this.seconds; }

  /** Draw the ages as a line of light. */
  draw(canvas, colours) {
    const g = canvas.getContext("2d"), { width, height } = canvas;
    g.clearRect(0, 0, width, height);
    if (this.ages.length < 2) return;
    const most = Math.max(...this.ages) * 1.1, step = width / (KEPT - 1), from = KEPT - this.ages.length;
    const paint = g.createLinearGradient(0, 0, width, 0);
    colours.forEach((colour, i) => paint.addColorStop(i / (colours.length - 1), colour));
    g.beginPath();
    this.ages.forEach((age, i) => g.lineTo((from + i) * step, height - 3 - (age / most) * (height - 6)));
    g.lineWidth = 3; g.lineJoin = "round"; g.strokeStyle = paint; g.stroke();
  }
}
