// Pictures and words of an explorer, put under its controls: state number = sum of each control's place times its step.
document.querySelectorAll(".explorer").forEach(explorer => {
    const states = JSON.parse(explorer.querySelector("script").textContent)
    const [image, words] = [explorer.querySelector("img"), explorer.querySelector("figcaption")]
    const controls = [...explorer.querySelectorAll("[data-step]")]

    function place(control) {
        if (control.type === "button") return control.ariaPressed === "true" ? 1 : 0
        return control.type === "range" ? Number(control.value) : control.selectedIndex
    }

    function show() {
        const [said, picture] = states[controls.reduce((sum, each) => sum + place(each) * each.dataset.step, 0)]
        words.textContent = said
        if (picture) {  // a setting that cannot be drawn leaves the picture and its words as they are
            image.src = picture
            image.alt = said
        }
    }

    explorer.addEventListener("input", event => {
        const slider = event.target
        if (slider.type === "range") {
            slider.ariaValueText = slider.nextElementSibling.value = JSON.parse(slider.dataset.names)[slider.value]
        }
        show()
    })
    explorer.addEventListener("click", event => {
        if (event.target.type !== "button") return
        event.target.ariaPressed = event.target.ariaPressed !== "true"
        show()
    })
})

// What scrolls sideways can be reached and scrolled by keyboard: also in answers that were folded, and in narrow windows.
function reachScrolling() {
    document.querySelectorAll("pre, .math-wrapper, .table-wrapper, .output").forEach(box => {
        if (box.scrollWidth > box.clientWidth) box.tabIndex = 0
    })
}
document.fonts.ready.then(reachScrolling)
document.addEventListener("toggle", reachScrolling, true)
addEventListener("resize", reachScrolling)
