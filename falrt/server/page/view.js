// How the picture is shown: beside its source, over it, or with a slider between the two.

export const VIEWS = ["slider", "beside", "over"];

export class View {
  constructor(stage) {
    this.stage = stage;
    this.picture = stage.querySelector("#picture");
    this.inset = stage.querySelector("#inset");
    this.handle = stage.querySelector("#handle");
    this.g = this.picture.getContext("2d");
    this.glow = document.getElementById("glow").getContext("2d");
    this.glow.globalAlpha = 0.3;
    this.at = 0.3;
    this.set("slider");
    const drag = (event) => {
      const box = this.picture.getBoundingClientRect();
      this.move((event.clientX - box.left) / box.width);
    };
    this.handle.addEventListener("pointerdown", (event) => { this.handle.setPointerCapture(event.pointerId); drag(event); });
    this.handle.addEventListener("pointermove", (event) => { if (this.handle.hasPointerCapture(event.pointerId)) drag(event); });
    this.handle.addEventListener("keydown", ({ key }) => { if (key === "ArrowLeft") this.move(this.at - 0.04); if (key === "ArrowRight") this.move(this.at + 0.04); });
  }

  set(view) {
    this.stage.dataset.view = view;
    for (const button of document.querySelectorAll("#views button")) button.setAttribute("aria-pressed", button.dataset.view === view);
    this.paint();
  }

  next() { this.set(VIEWS[(VIEWS.indexOf(this.stage.dataset.view) + 1) % VIEWS.length]); }

  move(at) {
    this.at = Math.max(0, Math.min(1, at));
    this.handle.style.left = `${this.at * 100}%`;
    this.handle.setAttribute("aria-valuenow", Math.round(this.at * 100));
    this.paint();
  }

  /** Show a picture with the frame that it was made from (null where there was none). */
  show(image, frame) {
    this.image?.close?.();
    this.image = image;
    this.frame = frame;
    this.stage.classList.add("has");
    const { width, height } = image;
    if (this.picture.width !== width || this.picture.height !== height) {
      this.picture.width = width; this.picture.height = height;
      this.picture.parentElement.style.aspectRatio = `${width} / ${height}`;
    }
    this.glow.drawImage(image, 0, 0, 14, 10);
    this.paint();
  }

  paint() {
    if (!this.image) return;
    const { width, height } = this.picture, { view } = this.stage.dataset, paper = this.stage.querySelector(".drawing");
    this.g.drawImage(this.image, 0, 0, width, height);
    if (view === "slider" && this.frame && !paper) {
      const cut = Math.round(width * this.at);
      if (cut > 0) this.g.drawImage(this.frame, 0, 0, this.frame.width * this.at, this.frame.height, 0, 0, cut, height);
    }
    this.inset.hidden = !(view === "over" && this.frame && !paper);
    if (!this.inset.hidden) this.inset.getContext("2d").drawImage(this.frame, 0, 0, this.inset.width, this.inset.height);
  }
}
