"""Labelled sentences in Vietnamese and Chinese, drawn from templates with a seed: there is no data set to download.

Two tasks. `maintenance`: which regular work a message asks for. `repair`: what is broken. Each class is said in several
ways, and the ways with which a network is tested are held out: it meets sentences it has never seen, built of words
most of which it has. Many name another class too, to say that this is not meant. Noise is what people type: no
diacritics, letters twice or forgotten, greetings, capitals.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

HELD_OUT = 2
"""Templates of each class and language, the last ones, that are only tested with."""


@dataclass(frozen=True)
class Sentence:
    text: str
    label: int
    held_out: bool


@dataclass(frozen=True)
class Way:
    """What a sentence is to say, and in which of the two parts."""

    task: str
    label: int
    language: str
    held_out: bool


THINGS = {
    "vi": ["máy bơm", "máy lạnh", "thang máy", "máy nén khí", "băng tải", "máy in", "quạt thông gió", "xe nâng"],
    "zh": ["水泵", "空调", "电梯", "空压机", "传送带", "打印机", "风扇", "叉车"],
}
PLACES = {
    "vi": ["ở tầng hai", "trong kho", "phòng 305", "xưởng B", "ngoài sân", "dưới hầm"],
    "zh": ["二楼的", "仓库里的", "305室的", "B车间的", "院子里的", "地下室的"],
}
BEFORE = {
    "vi": ["", "", "chào anh, ", "xin lỗi, ", "nhờ bên kỹ thuật, "],
    "zh": ["", "", "你好，", "师傅，", "麻烦您，"],
}
AFTER = {"vi": ["", "", " nhé", " gấp", " cảm ơn", " hôm nay"], "zh": ["", "", "谢谢", "，急", "，今天", "。"]}

MAINTENANCE: dict[str, dict[str, list[str]]] = {
    "clean": {
        "vi": [
            "vệ sinh {thing} {place}",
            "{thing} {place} bẩn quá, cần lau chùi",
            "bụi bám đầy {thing} {place}, lau sạch giúp",
            "đến lịch rửa lưới lọc của {thing} {place}",
            "{thing} {place} nhiều bụi, vệ sinh lưới lọc",
            "lau chùi bụi bẩn trên {thing} {place}",
            "rửa sạch {thing} {place} giúp tôi",
        ],
        "zh": [
            "清洗{place}{thing}",
            "{place}{thing}太脏了，要打扫",
            "{place}{thing}上都是灰尘，请擦干净",
            "该清洗{place}{thing}的滤网了",
            "{place}{thing}灰尘很多，滤网要洗",
            "请把{place}{thing}擦一擦，很脏",
            "{place}{thing}的灰要打扫干净",
        ],
    },
    "lubricate": {
        "vi": [
            "tra dầu cho {thing} {place}",
            "bôi mỡ ổ trục {thing} {place}",
            "{thing} {place} khô dầu, châm thêm",
            "thay nhớt {thing} {place} theo lịch",
            "ổ trục của {thing} {place} cần mỡ mới",
            "châm nhớt và bôi mỡ {thing} {place}",
            "{thing} {place} đến kỳ tra dầu mỡ",
        ],
        "zh": [
            "给{place}{thing}加油",
            "{place}{thing}的轴承要上润滑脂",
            "{place}{thing}缺油，请添加",
            "按计划更换{place}{thing}的机油",
            "{place}{thing}轴承该加润滑油了",
            "{place}{thing}的润滑油要添",
            "给{place}{thing}轴承上油脂",
        ],
    },
    "inspect": {
        "vi": [
            "kiểm tra định kỳ {thing} {place}",
            "xem giúp {thing} {place} có an toàn không",
            "đo điện áp của {thing} {place}",
            "{thing} {place} cần kiểm định trước khi dùng",
            "đến hạn kiểm tra an toàn {thing} {place}",
            "kiểm định và đo lại {thing} {place}",
            "xem xét định kỳ {thing} {place}, kiểm tra an toàn",
        ],
        "zh": [
            "定期检查{place}{thing}",
            "看看{place}{thing}安不安全",
            "测量{place}{thing}的电压",
            "{place}{thing}使用前要检验",
            "{place}{thing}的安全检查到期了",
            "请检验并测量{place}{thing}",
            "{place}{thing}要做定期安全检查",
        ],
    },
    "replace": {
        "vi": [
            "thay lõi lọc cho {thing} {place}",
            "thay pin {thing} {place}",
            "dây đai của {thing} {place} mòn rồi, thay mới",
            "cần đổi bóng đèn của {thing} {place}",
            "thay thế linh kiện cũ trong {thing} {place}",
            "đổi dây đai mới cho {thing} {place}",
            "{thing} {place} cần thay linh kiện mòn",
        ],
        "zh": [
            "更换{place}{thing}的滤芯",
            "{place}{thing}要换电池",
            "{place}{thing}的皮带磨损了，换新的",
            "请换一下{place}{thing}的灯泡",
            "更换{place}{thing}里的旧零件",
            "给{place}{thing}换一条新皮带",
            "{place}{thing}磨损的零件要更换",
        ],
    },
}

REPAIR: dict[str, dict[str, list[str]]] = {
    "no power": {
        "vi": [
            "{thing} {place} không lên nguồn",
            "bật mãi {thing} {place} không chạy",
            "{thing} {place} mất điện",
            "cắm điện mà {thing} {place} không lên đèn",
            "{thing} {place} bị cháy cầu chì, không có điện",
            "{thing} {place} bật không lên, chắc mất nguồn",
            "{thing} {place} chết hẳn, đèn báo tắt ngóm",
        ],
        "zh": [
            "{place}{thing}不通电",
            "{place}{thing}打不开",
            "{place}{thing}没有电",
            "插上电{place}{thing}的灯也不亮",
            "{place}{thing}保险丝烧了，没电",
            "{place}{thing}开不了，可能没有电源",
            "{place}{thing}完全没反应，指示灯不亮",
        ],
    },
    "leak": {
        "vi": [
            "{thing} {place} bị rò nước",
            "nước chảy ra từ {thing} {place}",
            "{thing} {place} chảy dầu ra sàn",
            "dưới {thing} {place} có vũng nước",
            "ống của {thing} {place} rò rỉ",
            "{thing} {place} rò dầu, phải kê xô hứng",
            "nước rỉ từ ống {thing} {place} ra sàn",
        ],
        "zh": [
            "{place}{thing}漏水",
            "水从{place}{thing}流出来",
            "{place}{thing}漏油，地上都是",
            "{place}{thing}下面有一滩水",
            "{place}{thing}的管子渗漏",
            "{place}{thing}一直滴油，要放桶接",
            "{place}{thing}的管子往地上流水",
        ],
    },
    "noise": {
        "vi": [
            "{thing} {place} kêu to",
            "có tiếng lạ trong {thing} {place}",
            "{thing} {place} rung mạnh khi chạy",
            "{thing} {place} phát tiếng ồn cả đêm",
            "nghe tiếng cọc cạch từ {thing} {place}",
            "{thing} {place} rung và kêu cọc cạch",
            "{thing} {place} rít lên khi chạy, ù cả tai",
        ],
        "zh": [
            "{place}{thing}声音很大",
            "{place}{thing}里面有异响",
            "{place}{thing}运行时震动厉害",
            "{place}{thing}整晚都有噪音",
            "听到{place}{thing}咔咔响",
            "{place}{thing}又震动又响",
            "{place}{thing}一开就尖叫，吵得很",
        ],
    },
    "overheating": {
        "vi": [
            "{thing} {place} nóng quá",
            "{thing} {place} bốc khói",
            "có mùi khét từ {thing} {place}",
            "{thing} {place} quá nhiệt rồi tự tắt",
            "vỏ {thing} {place} nóng bỏng tay",
            "{thing} {place} nóng và có mùi khét",
            "sờ vào {thing} {place} thấy nóng ran, sợ cháy",
        ],
        "zh": [
            "{place}{thing}太烫了",
            "{place}{thing}冒烟",
            "{place}{thing}有焦味",
            "{place}{thing}过热自动停机",
            "{place}{thing}的外壳烫手",
            "{place}{thing}很烫，还有焦味",
            "{place}{thing}摸着烫，怕着火",
        ],
    },
}

TASKS = {"maintenance": MAINTENANCE, "repair": REPAIR}

NOT_MEANT = {
    "maintenance": {
        "vi": ("đã {other} rồi, ", ", {other} thì xong rồi"),
        "zh": ("已经{other}过了，", "，{other}已经做完了"),
    },
    "repair": {
        "vi": ("không phải {other}, ", ", chứ không {other}"),
        "zh": ("不是{other}，", "，没有{other}"),
    },
}
"""What says that another class is not meant: before a sentence, or after it."""

NAMES = {
    "maintenance": {
        "vi": ["vệ sinh", "tra dầu", "kiểm tra", "thay linh kiện"],
        "zh": ["清洗", "加油", "检查", "更换"],
    },
    "repair": {
        "vi": ["mất điện", "rò nước", "có tiếng ồn", "quá nhiệt"],
        "zh": ["断电", "漏水", "噪音", "过热"],
    },
}
"""Each class in short, in the order of its task."""


def labels(task: str) -> list[str]:
    return list(TASKS[task])


def sentences(task: str, count: int, seed: int) -> Iterator[Sentence]:
    """`count` of them for each class, language and part, in no order of classes that a batch could notice."""
    dice = random.Random(seed)
    wanted = [
        Way(task, label, language, held_out)
        for label in range(len(TASKS[task]))
        for language in THINGS
        for held_out in (False, True)
        for _ in range(count)
    ]
    dice.shuffle(wanted)
    for way in wanted:
        text = _contrasted(_said(way, dice), way, dice)
        greeted = dice.choice(BEFORE[way.language]) + text + dice.choice(AFTER[way.language])
        yield Sentence(_noisy(greeted, way.language, dice), way.label, way.held_out)


def _said(way: Way, dice: random.Random) -> str:
    templates = list(TASKS[way.task].values())[way.label][way.language]
    template = dice.choice(templates[-HELD_OUT:] if way.held_out else templates[:-HELD_OUT])
    return template.format(thing=dice.choice(THINGS[way.language]), place=dice.choice(PLACES[way.language]))


def _contrasted(text: str, way: Way, dice: random.Random) -> str:
    """Every other sentence also says what is not meant."""
    if dice.random() < 0.5:
        return text
    names = NAMES[way.task][way.language]
    other = dice.choice([name for label, name in enumerate(names) if label != way.label])
    before, after = NOT_MEANT[way.task][way.language]
    return before.format(other=other) + text if dice.random() < 0.5 else text + after.format(other=other)


def _noisy(text: str, language: str, dice: random.Random) -> str:
    if language == "vi" and dice.random() < 0.3:
        text = without_diacritics(text)
    if dice.random() < 0.15:
        text = text.upper()
    if dice.random() < 0.15:
        place = dice.randrange(len(text))
        text = text[:place] + text[place] * 2 + text[place + 1 :]
    if dice.random() < 0.1:
        place = dice.randrange(len(text))
        text = text[:place] + text[place + 1 :]
    return text


def without_diacritics(text: str) -> str:
    """As it is typed on a keyboard without them; đ is a letter of its own and not a d with a mark."""
    apart = unicodedata.normalize("NFD", text.replace("đ", "d").replace("Đ", "D"))
    return "".join(letter for letter in apart if not unicodedata.combining(letter))
